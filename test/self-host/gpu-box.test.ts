/**
 * The one line that makes a GPU host: the installer as the edge serves it, on this machine and in a clean Debian that
 * has nothing but curl and Python.
 */
import { execFile } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createClient } from "../../cli/client.ts";
import type { Client } from "../../cli/client.ts";
import * as z from "zod";
import { adminKeyOf, serve, stopService } from "./service.ts";
import type { Service } from "./service.ts";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-box-"));
const state = join(dir, "state");
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
let service: Service;
let operator: Client;
let client: Client;
let url: string;

type Ran = { code: number; said: string };

/** A shell that has nothing of this test's environment but what is named. */
async function shell(command: string, env: Record<string, string>, inside?: string): Promise<Ran> {
  const bare = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: inside === undefined ? dir : "/root", ...env };
  const words =
    inside === undefined ? ["sh", "-c", command] : ["unshare", "--mount", "sh", "-c", chrooted(inside, command)];
  const [program = "", ...args] = words;
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { env: bare, timeout: 110_000 });
    return { code: 0, said: stdout + stderr };
  } catch (error) {
    const failed = z.object({ code: z.number().nullable(), stdout: z.string(), stderr: z.string() }).parse(error);
    return { code: failed.code ?? -1, said: failed.stdout + failed.stderr };
  }
}

/** Its /proc goes with the last process in it. */
function chrooted(folder: string, command: string): string {
  return `mount -t proc proc '${folder}/proc' && exec chroot '${folder}' sh -c '${command}'`;
}

/** Ended so, having said so. */
const endsWith =
  (code: number, words: string) =>
  (ran: Ran): boolean =>
    ran.code === code && ran.said.includes(words);

const ONE_LINE = 'curl -fsSL "$EDGEPLANE_URL/pool/install.sh" | sh';

async function poolToken(name: string): Promise<string> {
  const body = { name, lanes: ["default"], owners: ["local"], may_register_models: true };
  return (await operator.admin(z.object({ token: z.string() }), "POST", "/pool-tokens", { body })).token;
}

/** What the model answers, once somebody runs it. */
async function hello(): Promise<unknown> {
  const answer = z.object({ output: z.unknown() });
  const call = { body: { input: { text: "box" } }, headers: { prefer: "wait=30" } };
  return client.api(answer, "POST", "/models/local/hello-world/predictions", call).then(
    ({ output }) => output,
    (error: unknown) => String(error),
  );
}

beforeAll(async () => {
  service = await serve(state);
  url = `http://127.0.0.1:${service.port}`;
  operator = createClient({ url, adminKey: adminKeyOf(state), source: "the test" });
  await operator.admin(z.unknown(), "POST", "/accounts", { body: { name: "acme" } });
  const { key } = await operator.admin(z.object({ key: z.string() }), "POST", "/keys", {
    body: { account: "acme", name: "k" },
  });
  client = createClient({ url, key, source: "the test" });
});
afterAll(async () => {
  await stopService(service);
  rmSync(dir, { recursive: true, force: true });
});

test("one line installs and starts it; a second one upgrades; it stops, and leaves nothing running", async () => {
  const box = join(dir, "box");
  const token = await poolToken("here");
  cpSync(join(root, "examples/hello-world"), join(box, "models/hello-world"), { recursive: true });
  // The Node that the tests run under is the host's.
  const path = `${join(process.execPath, "..")}:/usr/sbin:/usr/bin:/sbin:/bin`;
  const env = {
    PATH: path,
    EDGEPLANE_URL: url,
    EDGEPLANE_POOL_TOKEN: token,
    EDGEPLANE_POOL_DIR: box,
    EDGEPLANE_METRICS_PORT: "0",
    EDGEPLANE_ADMIN_KEY: "is-not-kept",
    EDGEPLANE_POOL_NAME: "it's a box",
    EDGEPLANE_START: "background",
  };
  const control = async (verb: string): Promise<Ran> => shell(`'${box}/edgeplane-pool' ${verb}`, { PATH: path });
  expect(await shell(ONE_LINE, env)).toSatisfy(endsWith(0, "connected to the edge"));
  try {
    await expect.poll(hello, { timeout: 30_000 }).toBe("hello box");
    expect(readFileSync(join(box, "pool.env"), "utf8")).not.toContain("is-not-kept");
    expect((await control("status")).said).toContain("it runs");
    const before = readFileSync(join(box, "pool.pid"), "utf8");
    expect(await control("upgrade")).toSatisfy(endsWith(0, "draining"));
    expect(readFileSync(join(box, "pool.pid"), "utf8")).not.toBe(before);
    await expect.poll(hello, { timeout: 30_000 }).toBe("hello box");
  } finally {
    expect(await control("stop")).toMatchObject({ code: 0 });
  }
  expect(await control("status")).toSatisfy(endsWith(1, "doesn't run"));

  const wrong = await shell(ONE_LINE, { ...env, EDGEPLANE_POOL_TOKEN: "epp_wrong" });
  expect(wrong).toSatisfy(endsWith(1, "does not know this token"));
});

test("what is missing, or is not what it should be, is told before anything starts", async () => {
  const box = join(dir, "refused");
  const env = { EDGEPLANE_URL: url, EDGEPLANE_POOL_TOKEN: "epp_x", EDGEPLANE_POOL_DIR: box };
  const script = await (await fetch(`${url}/pool/install.sh`)).text();
  const file = join(dir, "install.sh");
  writeFileSync(file, script.replace(/^SHA256=.*/m, `SHA256=${"0".repeat(64)}`));
  expect(await shell(`sh ${file}`, env)).toSatisfy(endsWith(1, "not what this script belongs to"));
  expect(existsSync(join(box, "current"))).toBe(false);
  writeFileSync(file, script);
  expect((await shell(`sh ${file}`, { ...env, EDGEPLANE_URL: "" })).said).toContain("set EDGEPLANE_URL");
  expect((await shell(`sh ${file}`, { ...env, EDGEPLANE_POOL_TOKEN: "" })).code).toBe(2);
  expect((await shell(`sh ${file}`, { ...env, EDGEPLANE_URL: "http://127.0.0.1:9" })).said).toContain(
    "could not be fetched",
  );
  expect((await shell(`sh ${file}`, { ...env, EDGEPLANE_PYTHON: "/bin/false" })).said).toContain("Python 3.8 or newer");
});

test("in a clean Debian with curl and Python, the same line brings Node along and serves", async () => {
  const debian = join(dir, "debian");
  const include = "--include=curl,ca-certificates,python3,python3-venv";
  // Not waited for in one go: connections that end meanwhile are to be seen to end.
  await promisify(execFile)("debootstrap", ["--variant=minbase", include, "bookworm", debian], { timeout: 600_000 });
  for (const path of ["/etc/resolv.conf", CERTIFICATES]) if (existsSync(path)) copyFileSync(path, join(debian, path));
  cpSync(join(root, "examples/hello-world"), join(debian, "opt/edgeplane-pool/models/hello-world"), {
    recursive: true,
  });
  const env = {
    EDGEPLANE_URL: url,
    EDGEPLANE_POOL_TOKEN: await poolToken("debian"),
    EDGEPLANE_METRICS_PORT: "0",
    EDGEPLANE_START: "background",
  };
  const startedAt = performance.now();
  const installed = await shell(ONE_LINE, env, debian);
  expect(installed).toSatisfy(endsWith(0, "connected to the edge"));
  try {
    expect(installed.said).toContain("fetching Node");
    await expect.poll(hello, { timeout: 60_000 }).toBe("hello box");
    console.log(`a clean Debian: ${((performance.now() - startedAt) / 1000).toFixed(1)} s to the first prediction`);
  } finally {
    await shell("/opt/edgeplane-pool/edgeplane-pool stop", {}, debian);
  }
  await becomesService(debian);
}, 900_000);

/**
 * systemd can't run in a folder: what it would be told, and the unit that it would read (test/deploy-files verifies
 * it).
 */
async function becomesService(debian: string): Promise<void> {
  writeFileSync(join(debian, "usr/bin/systemctl"), '#!/bin/sh\necho "$*" >>/told\n', { mode: 0o755 });
  mkdirSync(join(debian, "etc/systemd/system"), { recursive: true });
  const control = "/opt/edgeplane-pool/edgeplane-pool";
  expect(await shell(`${control} service`, {}, debian)).toSatisfy(endsWith(0, "it is the unit edgeplane-pool.service"));
  const words = ["daemon-reload", "enable edgeplane-pool.service", "restart edgeplane-pool.service", ""];
  expect(readFileSync(join(debian, "told"), "utf8").split("\n")).toEqual(words);
  const unit = readFileSync(join(debian, "etc/systemd/system/edgeplane-pool.service"), "utf8");
  expect(unit).toBe((await shell(`${control} unit`, {}, debian)).said);
  expect(unit).toContain(`ExecStart="${control}" run\n`);
}
