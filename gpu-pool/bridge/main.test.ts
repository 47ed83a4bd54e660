/**
 * Starts of the bridge that fail: each ends by itself, with one line and its exit code, whatever is configured behind
 * it.
 */
import { spawn } from "node:child_process";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const holder = createServer();
const kafka = {
  BRIDGE_KAFKA_BROKERS: "127.0.0.1:1",
  BRIDGE_KAFKA_USERS: '[{"username":"edge","password":"edge-password"}]',
};
const redis = { BRIDGE_REDIS_URL: "redis://127.0.0.1:1", BRIDGE_REDIS_TOKENS: '[{"token":"0123456789abcdef"}]' };
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

async function start(env: Record<string, string>) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: { PATH: process.env["PATH"] ?? "", BRIDGE_LOG_LEVEL: "silent", ...env },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (text += part.toString()));
  const impatience = setTimeout(() => child.kill("SIGKILL"), 10_000);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(impatience);
  return { code, lines: text.trim().split("\n") };
}

test("where it can't listen, in front of both clusters", async () => {
  const both = { ...kafka, ...redis };
  const said = (why: RegExp) => ({ code: 1, lines: [expect.stringMatching(why)] });
  const [taken, nowhere] = await Promise.all([
    start({ ...both, BRIDGE_PORT: takenPort }),
    start({ ...both, BRIDGE_HOST: "no-such-host.invalid", BRIDGE_PORT: "0" }),
  ]);
  expect(taken).toEqual(said(/^The bridge could not start: .*EADDRINUSE.*; choose another .*BRIDGE_PORT/));
  expect(nowhere).toEqual(said(/^The bridge could not start: .*no-such-host\.invalid.*BRIDGE_HOST/));
});

test("with a file that isn't there, or holds something else", async () => {
  const missing = "/no/such/file.pem";
  const both = { ...kafka, ...redis, BRIDGE_PORT: "0" };
  const said = (setting: string) => ({
    code: 2,
    lines: [expect.stringMatching(new RegExp(`^${setting} can't be read: .*${missing}`))],
  });
  const [https, redisCa, kafkaCa, noCertificate] = await Promise.all([
    start({ ...both, BRIDGE_HTTPS_CERT: missing, BRIDGE_HTTPS_KEY: missing }),
    start({ ...both, BRIDGE_REDIS_TLS_CA: missing }),
    start({ ...both, BRIDGE_KAFKA_TLS_CA: missing }),
    start({ ...both, BRIDGE_HTTPS_CERT: noPem, BRIDGE_HTTPS_KEY: noPem }),
  ]);
  expect([https, redisCa, kafkaCa]).toEqual([said("https.cert"), said("redis.tls.ca"), said("kafka.tls.ca")]);
  expect(noCertificate).toEqual({
    code: 2,
    lines: [expect.stringMatching(/^https\.cert and https\.key can't be used: /)],
  });
});
