import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resolveConnection, writeConfig } from "./config.ts";
import { processIo } from "./io.ts";
import type { Io } from "./io.ts";
import { runCli } from "./test-io.ts";

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "edgeplane-cli-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const io = (env: Record<string, string> = {}): Io => ({ ...processIo(), cwd: home, env: { HOME: home, ...env } });
const dev = { url: "http://127.0.0.1:8787", apiKey: "ep_local", adminKey: "ep_admin" };

function startedHere(): void {
  mkdirSync(join(home, ".edgeplane"));
  writeFileSync(join(home, ".edgeplane/dev.json"), JSON.stringify(dev));
}

test("flags come before the environment, that before a profile, that before the local stack", () => {
  startedHere();
  expect(resolveConnection(io(), {})).toMatchObject({ url: dev.url, key: "ep_local" });
  writeConfig(io(), { current: "a", profiles: { a: { url: "https://a.example", key: "ep_a" } } });
  expect(resolveConnection(io(), {})).toMatchObject({ url: "https://a.example", key: "ep_a" });
  const env = io({ EDGEPLANE_URL: "https://b.example/", EDGEPLANE_API_KEY: "ep_b" });
  expect(resolveConnection(env, {})).toMatchObject({ url: "https://b.example", key: "ep_b" });
  expect(resolveConnection(env, { url: "https://c.example", key: "ep_c" })).toMatchObject({
    url: "https://c.example",
    key: "ep_c",
  });
});

test("a key goes to the address that it came with, and to no other", () => {
  startedHere();
  writeConfig(io(), { current: "a", profiles: { a: { url: "https://a.example", key: "ep_a", adminKey: "ep_x" } } });
  expect(resolveConnection(io(), { url: "https://evil.example" })).toEqual({
    url: "https://evil.example",
    source: "--url",
  });
  expect(resolveConnection(io(), { url: "https://a.example" })).toMatchObject({ key: "ep_a" });
  expect(resolveConnection(io(), { url: dev.url })).toMatchObject({ key: "ep_local" });
});

test("the file with the keys is for its owner's eyes", () => {
  writeConfig(io(), { current: "a", profiles: {} });
  expect(statSync(join(home, ".config/edgeplane/config.json")).mode & 0o777).toBe(0o600);
});

test.each([
  ["no gateway", [], {}, 2, "no gateway is named"],
  ["an address that is none", ["--url", "nonsense"], {}, 2, '"nonsense" is no address'],
  ["no key", ["--url", "http://127.0.0.1:9"], {}, 3, "needs an API key"],
  ["nobody there", ["--url", "http://127.0.0.1:9", "--key", "ep_x"], {}, 5, "can't be reached"],
  ["a profile that isn't there", ["--profile", "b"], {}, 2, 'no profile "b"'],
])("%s is told, with an exit code of its own", async (_what, flags, env, code, message) => {
  const ran = await runCli([...flags, "whoami"], { cwd: home, env: { HOME: home, ...env } });
  expect(ran).toMatchObject({ code, stdout: "" });
  expect(ran.stderr).toContain(message);
});

test("wrong use exits with 2, help and completion with 0", async () => {
  for (const args of [["nope"], ["predict"], ["predict", "nope"], ["keys", "create", "x"], ["completion", "tcsh"]])
    expect((await runCli(args, { env: { HOME: home }, cwd: home })).code).toBe(2);
  for (const args of [["--help"], ["predict", "--help"], ["completion", "bash"], ["completion", "fish"]])
    expect((await runCli(args, { env: { HOME: home }, cwd: home })).code).toBe(0);
});
