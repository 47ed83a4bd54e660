/** `model-guard` on real pools: its verdicts come beside a backlog of what it guards, and whatever becomes of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { createPool } from "../../scripts/lib/pool.ts";
import { findPython } from "../../scripts/lib/preflight.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";

const models = fileURLToPath(new URL("guard-models", import.meta.url));
const BACKLOG = 200;
/** Long enough for a guard on a busy machine. */
const GUARD = { model: "local/guard", timeoutMs: 20_000, windowCharacters: 12, overlapCharacters: 12 };

const ViewSchema = z.looseObject({
  id: z.string().optional(),
  status: z.union([z.string(), z.number()]),
  code: z.string().optional(),
  output: z.unknown().optional(),
  urls: z.looseObject({ stream: z.string().optional() }).optional(),
});

const dir = mkdtempSync(join(tmpdir(), "edgeplane-model-guard-"));
const hosts: ReturnType<typeof createPool>[] = [];
let stack: Stack;
/** What the backlog and the guard wait for: model processes see no file of the test. */
let isOpen = false;
let isAsked = false;
const gates = createServer((_request, response) => {
  isAsked = true;
  response.end(isOpen ? "open" : "shut");
});
const gateUrl = () => `http://127.0.0.1:${(gates.address() as AddressInfo).port}/`;
let second = "";

async function call(path: string, key: string, body?: object, init: RequestInit = {}) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${stack.url}${path}`, { headers, ...sent, ...init });
  return { status: response.status, body: await response.json() };
}

async function predict(model: string, input: object, key = stack.apiKey, init: RequestInit = {}) {
  const { status, body } = await call(`/v1/models/local/${model}/predictions`, key, { input }, init);
  return { status, view: ViewSchema.parse(body) };
}

async function publish(config: object = {}, more: object = {}) {
  const settings = { plugins: { "api-key": {}, "model-guard": { config: { ...GUARD, ...config }, ...more } } };
  const { status, body } = await call("/admin/v1/settings", stack.adminKey, { settings, why: "a test" });
  expect([status, body]).toEqual([201, expect.anything()]);
}

/** What was published holds: the guard has refused something by it. */
async function refuses(text: string, code: string): Promise<void> {
  await expect.poll(async () => (await predict("words", { text: `${text} ${Date.now()}` })).view.code).toBe(code);
}

async function ended(id: string, key = stack.apiKey, timeout = 60_000) {
  const view = async () => ViewSchema.parse((await call(`/v1/predictions/${id}`, key)).body);
  await expect.poll(async () => (await view()).status, { timeout }).not.toMatch(/starting|processing/);
  return view();
}

beforeAll(async () => {
  await new Promise<void>((listening) => gates.listen(0, "127.0.0.1", listening));
  stack = await startStack({ stateDir: join(dir, "state"), pool: false, offline: true });
  const python = await findPython();
  for (const name of ["first", "second"]) {
    const env = { EDGEPLANE_METRICS_PORT: "0", EDGEPLANE_ALLOW_LOOPBACK_INPUTS: "1" };
    const options = { url: stack.url, token: stack.poolToken, models, stateDir: join(dir, name), python, env };
    const host = createPool(
      options,
      () => {},
      () => {},
    );
    host.start();
    hosts.push(host);
  }
  await Promise.all(hosts.map(({ offered }) => offered));
  await call("/admin/v1/accounts", stack.adminKey, { name: "second" });
  const made = await call("/admin/v1/keys", stack.adminKey, { account: "second", name: "second" });
  second = z.looseObject({ key: z.string() }).parse(made.body).key;
}, 120_000);

afterAll(async () => {
  isOpen = true;
  await Promise.all(hosts.map((host) => host.stop()));
  await stack?.stop();
  gates.close();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

it("judges another account's texts while 200 predictions of what it guards wait", { timeout: 180_000 }, async () => {
  await publish();
  await refuses("forbidden", "rejected_by_policy");
  const gate = gateUrl();
  const waiting = await Promise.all(
    Array.from({ length: BACKLOG }, (_, n) => predict("gated", { text: `waits ${n}`, gate })),
  );
  expect(waiting.filter(({ status }) => status !== 201)).toEqual([]);
  // None of them can end before the gate is there: whatever is judged meanwhile has not waited for them.
  const refused = await predict("words", { text: "this is forbidden" }, second);
  expect(refused).toMatchObject({ status: 403, view: { code: "rejected_by_policy" } });
  const passed = await predict("words", { text: "all of this is fine, and long enough for windows" }, second);
  expect(passed.status).toBe(201);
  expect(await ended(passed.view.id ?? "", second)).toMatchObject({ status: "succeeded" });
  const blocked = await predict("words", { text: "some words, for_bid_den ones among them" }, second);
  expect(blocked.status).toBe(201);
  const stream = await fetch(blocked.view.urls?.stream ?? "", { headers: { accept: "text/event-stream" } });
  const said = [...(await stream.text()).matchAll(/^event: output\nid: .*\ndata: (.*)$/gm)].map(([, data]) => data);
  expect("some words, ".startsWith(said.join(""))).toBe(true);
  const end = await ended(blocked.view.id ?? "", second);
  expect(end).toMatchObject({ status: "failed", error_code: "rejected_by_policy" });
  expect(JSON.stringify(end["output"])).not.toContain("forb");
  const last = ViewSchema.parse((await call(`/v1/predictions/${waiting.at(-1)?.view.id}`, stack.apiKey)).body);
  expect(last.status).toBe("starting");
  isOpen = true;
  for (const { view } of waiting)
    expect(await ended(view.id ?? "", stack.apiKey, 60_000)).toMatchObject({ status: "succeeded" });
  // The guard's own predictions are in nobody's list.
  for (const key of [stack.apiKey, second]) {
    const { results } = z
      .looseObject({ results: z.array(z.looseObject({ model: z.string() })) })
      .parse((await call("/v1/predictions", key)).body);
    expect(results.filter(({ model }) => model === "local/guard")).toEqual([]);
  }
});

it("refuses what kills the guard, or what it has no answer on, and nothing else", { timeout: 120_000 }, async () => {
  for (const text of ["crash", "nonsense"])
    expect(await predict("words", { text })).toMatchObject({ status: 503, view: { code: "guard_unavailable" } });
  await expect.poll(async () => (await predict("words", { text: "fine again" })).status).toBe(201);
});

it("refuses what is forbidden although its caller left while the guard was asked", { timeout: 60_000 }, async () => {
  const leaving = new AbortController();
  const text = `forbidden, once ${gateUrl()} is open`;
  [isOpen, isAsked] = [false, false];
  const left = predict("words", { text }, second, { signal: leaving.signal });
  left.catch(() => {});
  await expect.poll(() => isAsked).toBe(true);
  leaving.abort();
  await expect(left).rejects.toThrow();
  isOpen = true;
  // What was asked for the one that left has its answer before this has its own.
  expect((await predict("words", { text }, second)).status).toBe(403);
  expect((await predict("words", { text: "the last one" }, second)).status).toBe(201);
  const list = async () => JSON.stringify((await call("/v1/predictions", second)).body);
  await expect.poll(list).toContain("the last one");
  expect(await list()).not.toContain(text);
});

it("refuses while the guard is too slow, or gone, unless it shall fail open", { timeout: 120_000 }, async () => {
  await publish({ timeoutMs: 300 });
  await refuses("slow", "guard_unavailable");
  await Promise.all(hosts.map((host) => host.stop()));
  expect(await predict("words", { text: "nobody judges" })).toMatchObject({
    status: 503,
    view: { code: "guard_unavailable" },
  });
  await publish({ timeoutMs: 300 }, { fail_mode: "open" });
  await expect.poll(async () => (await predict("words", { text: `unjudged ${Date.now()}` })).status).toBe(201);
});
