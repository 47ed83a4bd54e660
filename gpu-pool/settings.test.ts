import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { helpText, readSettings, SettingsError } from "./settings.ts";

const needed = { EDGEPLANE_URL: "https://edge.example.com/base/", EDGEPLANE_POOL_TOKEN: "t" };

test("reads flags and environment; a flag wins", () => {
  const settings = readSettings(["--silence-ms", "7000", "--warm"], {
    ...needed,
    EDGEPLANE_SILENCE_MS: "9000",
    EDGEPLANE_ENABLE: "a, b",
  });
  expect(settings).toMatchObject({
    "silence-ms": 7000,
    warm: true,
    enable: ["a", "b"],
    "metrics-port": 9464,
    token: "t",
  });
  expect(settings?.url.pathname).toBe("/base/");
});

test("switches in the environment are on with 1 or true, and off otherwise", () => {
  for (const [text, on] of [
    ["1", true],
    ["true", true],
    ["0", false],
    ["false", false],
    ["", false],
  ] as const) {
    expect(readSettings([], { ...needed, EDGEPLANE_WARM: text })?.warm).toBe(on);
  }
});

test("names the setting that is wrong, and never shows the token", () => {
  expect(() => readSettings(["--silence-ms", "1"], needed)).toThrow(/--silence-ms \(or EDGEPLANE_SILENCE_MS\)/);
  expect(() => readSettings([], { ...needed, EDGEPLANE_WARM: "perhaps" })).toThrow(SettingsError);
  expect(() => readSettings(["extra"], needed)).toThrow(SettingsError);
  for (const token of ["secret\n", "secret word", "secrét"]) {
    const read = () => readSettings([], { ...needed, EDGEPLANE_POOL_TOKEN: token });
    expect(read).toThrow(/--token .* is wrong: a token without spaces/);
    expect(read).not.toThrow(/secr/);
  }
});

test("help names every setting and its twin in the environment, which is read", () => {
  expect(readSettings(["-h"], {})).toBeNull();
  expect(helpText()).toContain("default 9464");
  const twins = new Map(
    [...helpText().matchAll(/^ {2}--([a-z-]+).*\n {30}(EDGEPLANE_[A-Z_]+)$/gm)].map(([, flag = "", env = ""]) => [
      flag,
      env,
    ]),
  );
  const usual: Record<string, unknown> = { ...readSettings([], needed) };
  const settings = Object.keys(usual);
  expect(settings.length).toBeGreaterThan(20);
  // What has no default is no key of the usual ones.
  expect([...twins.keys()]).toEqual(expect.arrayContaining(settings));
  const otherwise: Record<string, string> = {
    token: "EDGEPLANE_POOL_TOKEN",
    "token-file": "EDGEPLANE_POOL_TOKEN_FILE",
    name: "EDGEPLANE_POOL_NAME",
  };
  for (const [flag, env] of twins) {
    expect(env).toBe(otherwise[flag] ?? `EDGEPLANE_${flag.toUpperCase().replaceAll("-", "_")}`);
    let read: Record<string, unknown> = {};
    let refusal = "";
    try {
      read = { ...readSettings([], { ...needed, [env]: "17" }) };
    } catch (error) {
      refusal = String(error);
    }
    if (refusal === "") expect(read[flag], env).not.toEqual(usual[flag]);
    else expect(refusal, env).toContain(flag);
  }
});

test("a secret may come by a file, by nothing else then", () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-settings-"));
  try {
    const file = join(folder, "token");
    writeFileSync(file, "epp_from-file\n");
    const url = { EDGEPLANE_URL: "http://127.0.0.1:1" };
    expect(readSettings(["--token-file", file], url)).toMatchObject({ token: "epp_from-file", "secret-files": [file] });
    expect(readSettings([], { ...needed, EDGEPLANE_KV_TOKEN_FILE: file })).toMatchObject({
      "kv-token": "epp_from-file",
    });
    const read = (args: string[]) => () => readSettings(args, needed);
    expect(read(["--token-file", file])).toThrow(/--token .*--token-file .* are both set: keep one/);
    expect(read(["--log-password-file", join(folder, "none")])).toThrow(/--log-password-file .* can't be read: ENOENT/);
    writeFileSync(file, " \n");
    expect(read(["--kv-token-file", file])).toThrow(/--kv-token-file .* is empty/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
