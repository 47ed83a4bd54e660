/**
 * An environment that one pool has built and stored, on other hosts: real pools, the real edge, and a registry of
 * packages that is there only while something has to be built.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { GREETING_WHEEL, makeGreetingWheel } from "../../../gpu-pool/runtime/environments/greeting-wheel.ts";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { startPool } from "./pool-process.ts";
import type { RunningPool } from "./pool-process.ts";

const MODEL = {
  "cog.yaml": 'build:\n  python_packages: ["greeting==1.0"]\nrun: "run.py:Runner"\n',
  "run.py":
    "import sys\n\nimport greeting\nfrom cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self) -> str:\n        return greeting.TEXT + ' from ' + sys.prefix\n",
};
const LayersSchema = z.object({
  results: z.array(z.object({ owner: z.string(), key: z.string(), bytes: z.number() })),
});
const StatusSchema = z.object({
  environments: z.object({ unpacked: z.number(), stored: z.number(), problem: z.string().nullable() }),
});

const root = mkdtempSync(join(tmpdir(), "edgeplane-stored-"));
const models = join(root, "models");
let stack: Stack;
let [registryUrl, registry, asked]: [string, Server | null, string[]] = ["", null, []];
const pools: RunningPool[] = [];

beforeAll(async () => {
  for (const [file, text] of Object.entries(MODEL)) {
    mkdirSync(join(models, "greeter"), { recursive: true });
    writeFileSync(join(models, "greeter", file), text);
  }
  mkdirSync(join(root, "packages"));
  await makeGreetingWheel(join(root, "packages"));
  stack = await startStack({ stateDir: join(root, "state"), pool: false, offline: true });
  await openRegistry();
});
afterAll(async () => {
  await Promise.all(pools.map(async (pool) => pool.kill("SIGKILL")));
  registry?.closeAllConnections();
  registry?.close();
  await stack.stop();
  rmSync(root, { recursive: true, force: true });
});

/** A package index of one package. Source: the Simple Repository API, PEP 503. */
async function openRegistry(port = 0): Promise<void> {
  registry = createServer((request, reply) => {
    asked.push(request.url ?? "");
    if (request.url?.endsWith(".whl") === true) reply.end(readFileSync(join(root, "packages", GREETING_WHEEL)));
    else reply.setHeader("content-type", "text/html").end(`<a href="/${GREETING_WHEEL}">${GREETING_WHEEL}</a>`);
  });
  await new Promise<void>((resolve) => registry?.listen(port, "127.0.0.1", resolve));
  registryUrl = `http://127.0.0.1:${z.object({ port: z.number() }).parse(registry.address()).port}`;
}

async function closeRegistry(): Promise<void> {
  registry?.closeAllConnections();
  await new Promise((resolve) => registry?.close(resolve));
  registry = null;
  asked = [];
}

/** A pool on a host of its own. */
function host(name: string, token = stack.poolToken): RunningPool {
  const home = { root, models, state: join(root, name, "state"), remove() {} };
  const env = { PIP_INDEX_URL: `${registryUrl}/simple`, PIP_FIND_LINKS: "", PIP_RETRIES: "0", EDGEPLANE_UV: "" };
  const pool = startPool(home, stack.url, token, ["--environments-dir", join(root, name, "environments")], env);
  pools.push(pool);
  return pool;
}

async function admin(path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${stack.url}/admin/v1/${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${stack.adminKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.json();
}
const layers = async () => LayersSchema.parse(await admin("environments")).results;
const environmentsOf = async (pool: RunningPool) => {
  const response = await fetch(`http://127.0.0.1:${await pool.port()}/status`);
  return StatusSchema.parse(await response.json()).environments;
};

/** What the model says, once a pool serves it. */
async function answer(pool: RunningPool): Promise<string> {
  const ask = async (): Promise<unknown> => {
    const response = await fetch(`${stack.url}/v1/models/local/greeter/predictions`, {
      method: "POST",
      headers: { authorization: `Bearer ${stack.apiKey}`, prefer: "wait=30", "content-type": "application/json" },
      body: '{"input":{}}',
    });
    const body = z
      .object({ output: z.unknown(), error: z.unknown() })
      .partial()
      .parse(await response.json());
    return response.ok ? (body.output ?? body.error) : null;
  };
  let said: unknown = null;
  await expect.poll(async () => (said = await ask()), { timeout: 60_000, interval: 200 }).not.toBeNull();
  expect(said, pool.output()).toMatch(/^hello from \//);
  return String(said);
}

/** Overwrites the content of a chunk in the bucket of this machine. */
function corrupt(folder: string, sha256: string): boolean {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || statSync(path).size > 2 ** 20) continue;
    const bytes = readFileSync(path);
    if (createHash("sha256").update(bytes).digest("hex") !== sha256) continue;
    writeFileSync(path, Buffer.alloc(bytes.length, "x"));
    return true;
  }
  return false;
}

test("is unpacked by a fresh host without a registry, and built anew once a chunk of it is broken", async () => {
  const first = host("first");
  expect(await answer(first)).toContain(join(root, "first", "environments"));
  expect(asked.some((path) => path.endsWith(".whl"))).toBe(true);
  await expect.poll(layers, { timeout: 30_000 }).toMatchObject([{ owner: "local" }]);
  await expect.poll(async () => environmentsOf(first)).toMatchObject({ stored: 1, unpacked: 0, problem: null });
  await first.kill("SIGTERM");
  await closeRegistry();

  const second = host("second");
  expect(await answer(second)).toContain(join(root, "second", "environments"));
  expect(await environmentsOf(second)).toMatchObject({ stored: 0, unpacked: 1, problem: null });
  expect(second.output()).toContain("the environment is unpacked");
  expect(second.output()).not.toContain("building an environment");
  await second.kill("SIGTERM");

  await openRegistry(Number(new URL(registryUrl).port));
  const [layer] = await layers();
  const found = await asPool(stack.poolToken, `${layer?.owner}/${layer?.key}`);
  const list = z.object({ layer: z.object({ list: z.string() }) }).parse(found.body).layer.list;
  const bundle = (await asPool(stack.poolToken, `local/chunks/${list}`)).body;
  const { files } = z
    .object({ files: z.array(z.object({ path: z.string(), chunks: z.array(z.string()) })) })
    .parse(bundle);
  const chunk = files.find(({ path }) => path.startsWith("pack-"))?.chunks[0] ?? "";
  expect(corrupt(join(root, "state"), chunk)).toBe(true);
  const third = host("third");
  expect(await answer(third)).toContain(join(root, "third", "environments"));
  expect(third.output()).toContain("a stored environment is broken, and was taken away");
  expect(third.output()).toContain("building an environment");
  await expect.poll(async () => environmentsOf(third), { timeout: 30_000 }).toMatchObject({ stored: 1, unpacked: 0 });
  await third.kill("SIGTERM");
  await closeRegistry();

  const fourth = host("fourth");
  expect(await answer(fourth)).toContain(join(root, "fourth", "environments"));
  expect(await environmentsOf(fourth)).toMatchObject({ unpacked: 1 });
  await fourth.kill("SIGTERM");
});

async function asPool(token: string, path: string, method = "GET"): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${stack.url}/pool/v1/environments/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(method === "PUT" ? { body: "x" } : {}),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}

test("is nothing that another owner's host could read, and nothing that a host without the right could write", async () => {
  const [layer] = await layers();
  const made = async (body: object) => z.object({ token: z.string() }).parse(await admin("pool-tokens", body)).token;
  const stranger = await made({ owners: ["stranger"], may_store_environments: true });
  const reader = await made({ owners: ["local"] });
  const path = `local/${layer?.key}`;
  const chunk = `local/chunks/${createHash("sha256").update("x").digest("hex")}`;
  expect([(await asPool(stranger, path)).status, (await asPool(stranger, chunk, "PUT")).status]).toEqual([404, 404]);
  expect([(await asPool(reader, path)).status, (await asPool(reader, chunk, "PUT")).status]).toEqual([200, 403]);
  expect(await layers()).toEqual([layer]);
});
