/**
 * Starts of the bridge that fail: each ends by itself, with one line and its exit code, whatever is configured behind
 * it.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

const holder = createServer();
const kafka = {
  BRIDGE_KAFKA_BROKERS: "127.0.0.1:1",
  BRIDGE_KAFKA_USERS: '[{"username":"edge","password":"edge-password"}]',
};
const redis = { BRIDGE_REDIS_URL: "redis://127.0.0.1:1", BRIDGE_REDIS_TOKENS: '[{"token":"0123456789abcdef"}]' };
const MISSING = "/no/such/file.pem";
const started: ChildProcess[] = [];
let takenPort = "";
let dir = "";
let noPem = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  takenPort = String((holder.address() as AddressInfo).port);
  dir = mkdtempSync(join(tmpdir(), "edgeplane-bridge-"));
  noPem = join(dir, "no.pem");
  writeFileSync(noPem, "not a certificate");
});
afterAll(() => {
  holder.close();
  rmSync(dir, { recursive: true, force: true });
});

// One that does not end by itself keeps its test from ending, and goes with it.
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

async function start(env: Record<string, string>) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: { PATH: process.env["PATH"] ?? "", BRIDGE_LOG_LEVEL: "silent", ...kafka, ...redis, ...env },
  });
  started.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (text += part.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, lines: text.trim().split("\n") };
}

test.each<[string, () => Record<string, string>, number, RegExp]>([
  [
    "a port that is taken",
    () => ({ BRIDGE_PORT: takenPort }),
    1,
    /^The bridge could not start: .*EADDRINUSE.*; choose another .*BRIDGE_PORT/,
  ],
  [
    "a host that isn't there",
    () => ({ BRIDGE_HOST: "no-such-host.invalid", BRIDGE_PORT: "0" }),
    1,
    /^The bridge could not start: .*no-such-host\.invalid.*BRIDGE_HOST/,
  ],
  [
    "no certificate of its own",
    () => ({ BRIDGE_PORT: "0", BRIDGE_HTTPS_CERT: MISSING, BRIDGE_HTTPS_KEY: MISSING }),
    2,
    new RegExp(`^https\\.cert can't be read: .*${MISSING}`),
  ],
  [
    "no certificates to know Redis by",
    () => ({ BRIDGE_PORT: "0", BRIDGE_REDIS_TLS_CA: MISSING }),
    2,
    new RegExp(`^redis\\.tls\\.ca can't be read: .*${MISSING}`),
  ],
  [
    "no certificates to know Kafka by",
    () => ({ BRIDGE_PORT: "0", BRIDGE_KAFKA_TLS_CA: MISSING }),
    2,
    new RegExp(`^kafka\\.tls\\.ca can't be read: .*${MISSING}`),
  ],
  [
    "a file that is no certificate",
    () => ({ BRIDGE_PORT: "0", BRIDGE_HTTPS_CERT: noPem, BRIDGE_HTTPS_KEY: noPem }),
    2,
    /^https\.cert and https\.key can't be used: /,
  ],
])("with %s", async (_what, env, code, why) => {
  expect(await start(env())).toEqual({ code, lines: [expect.stringMatching(why)] });
});
