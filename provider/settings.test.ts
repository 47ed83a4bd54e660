import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readConfiguration, readKey, refuseSharedAccounts, timesOf } from "./configuration.ts";
import { helpText, readSettings } from "./settings.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-provider-settings-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const configured = (...providers: object[]) => readConfiguration(file("providers.json", JSON.stringify({ providers })));
const here = { name: "here", kind: "local", hardware: { cpu: {} } };

describe("settings", () => {
  it("come from flags, and else from the environment", () => {
    const env = { EDGEPLANE_URL: "http://a", EDGEPLANE_PROVIDER_TOKEN: "t" };
    expect(readSettings(["--url", "http://b"], env)).toMatchObject({ token: "t", url: new URL("http://b") });
  });

  it("take the token from a file", () => {
    const path = file("token", "secret\n");
    expect(readSettings(["--url", "http://a", "--token-file", path], {})?.token).toBe("secret");
  });

  it.each([
    [[], {}, "--url (or EDGEPLANE_URL) is missing"],
    [["--url", "ftp://a", "--token", "t"], {}, "--url (or EDGEPLANE_URL) is wrong: it must be an http(s) address"],
    [["--url", "http://a"], {}, "--token (or EDGEPLANE_PROVIDER_TOKEN) is missing"],
    [["--url", "http://a", "--token-file", "/nowhere"], {}, "--token-file /nowhere can't be read"],
    [["--url", "http://a", "--token", "a", "--token-file", "b"], {}, "both set"],
    [["--port", "1"], {}, "'--port'"],
  ])("say what is wrong: %s", (args, env, message) => {
    expect(() => readSettings(args, env)).toThrow(message);
  });

  it("are told by --help", () => {
    expect(readSettings(["--help"], {})).toBeNull();
    expect(helpText()).toContain("EDGEPLANE_PROVIDER_TOKEN_FILE");
  });
});

describe("the file of providers", () => {
  it("names entries, each with its defaults", () => {
    const [entry] = configured(here);
    expect(entry).toMatchObject({ name: "here", prefix: "edgeplane-", hardware: { cpu: { max: 1, devices: 1 } } });
  });

  it.each([
    [[{ ...here, nam: 1 }], "nam"],
    [[here, here], "providers.1.name: here is there twice"],
    [[{ ...here, name: "A" }], "providers.0.name"],
    [[{ ...here, prefix: "x" }], "providers.0.prefix: must be"],
    [[{ ...here, kind: "aws" }], "providers.0.kind"],
    [[], "providers"],
  ])("is refused with the place that is wrong: %j", (providers, message) => {
    expect(() => configured(...providers)).toThrow(message);
  });

  it("can't be read", () => {
    expect(() => readConfiguration(join(folder, "none.json"))).toThrow("none.json can't be read");
    expect(() => readConfiguration(file("half.json", "{"))).toThrow("half.json can't be read");
  });

  it("says where keys are, and holds none", () => {
    const key = file("key", "rpa_1\n");
    expect(readKey({ name: "a", apiKeyFile: key }, {})).toBe("rpa_1");
    expect(readKey({ name: "a", apiKeyEnv: "RUNPOD_KEY" }, { RUNPOD_KEY: "rpa_2" })).toBe("rpa_2");
    expect(() => readKey({ name: "a" }, {})).toThrow("apiKeyFile or by apiKeyEnv");
    expect(() => readKey({ name: "a", apiKeyEnv: "RUNPOD_KEY" }, {})).toThrow("the variable RUNPOD_KEY holds no key");
    expect(() => readKey({ name: "a", apiKeyFile: join(folder, "none") }, {})).toThrow("can't be read");
  });

  it.each(["runpod", "vast"])("has no two entries of %s that share an account and a prefix", (kind) => {
    const secure = { name: "secure", kind, apiKeyEnv: "KEY_A", hardware: {} };
    const spot = { ...secure, name: "spot" };
    const env = { KEY_A: "rpa_1", KEY_B: "rpa_2", KEY_C: "rpa_1" };
    const check = (more: object) => refuseSharedAccounts(configured(secure, { ...spot, ...more }), env);
    const refusal = /^secure and spot rent at one account .*: give one of them a prefix of its own/u;
    for (const same of [{}, { apiKeyEnv: "KEY_C" }]) expect(() => check(same)).toThrow(refusal);
    const others = [{ prefix: "edgeplane-spot-" }, { apiKeyEnv: "KEY_B" }, { baseUrl: "https://other.example.com" }];
    for (const other of others) expect(() => check(other)).not.toThrow();
    const elsewhere = { ...spot, kind: kind === "vast" ? "runpod" : "vast" };
    expect(() => refuseSharedAccounts(configured(secure, elsewhere, here), env)).not.toThrow();
  });

  it("sets how long an unclear answer settles", () => {
    expect(configured({ ...here, settleMs: 1234 }).map(timesOf)).toMatchObject([{ settleMs: 1234 }]);
  });
});
