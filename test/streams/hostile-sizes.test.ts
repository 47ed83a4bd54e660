/**
 * Memory of workerd while accounts and a GPU host send, keep and don't read as much as they are let: each kind of what
 * is held in memory is driven to its bound, and other accounts are served meanwhile. docs/security.md lists the bounds.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { PROTOCOL } from "../../src/contract/channel.ts";
import type { PoolMessage } from "../../src/contract/channel.ts";
import { ClaimReplySchema, SESSION_HEADER } from "../../src/contract/claim.ts";
import { ManifestSchema } from "../../src/contract/manifest.ts";
import type { Manifest } from "../../src/contract/manifest.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { usageOf, watchMemory } from "../bench/lib/processes.ts";

const MIB = 2 ** 20;
const KIB = 2 ** 10;
const SESSION = "session-of-a-hostile-pool";
const CreatedSchema = z.object({ id: z.string() });

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-hostile-"));
let stack: Stack;
/** It takes messages and answers none. */
let receiver: Server;
const keys = new Map<string, string>();

beforeAll(async () => {
  stack = await startStack({ stateDir, pool: false, allowLoopback: true, offline: true });
  receiver = createServer(() => {}).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  for (const name of ["one", "two", "three", "four", "quiet"]) {
    await admin("/accounts", { name });
    keys.set(name, z.object({ key: z.string() }).parse(await admin("/keys", { account: name })).key);
  }
  await register([manifestOf("small", "0", {})]);
});
afterAll(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

const bearer = (credential: string) => ({ authorization: `Bearer ${credential}`, "content-type": "application/json" });
const keyOf = (account: string) => keys.get(account) ?? "";

async function admin(path: string, body: object): Promise<unknown> {
  const init = { method: "POST", headers: bearer(stack.adminKey), body: JSON.stringify(body) };
  return (await fetch(`${stack.url}/admin/v1${path}`, init)).json();
}

function manifestOf(name: string, digit: string, properties: Record<string, Json>): Manifest {
  const schema = { openapi: "3.0.2", components: { schemas: { Input: { type: "object", properties }, Output: {} } } };
  return ManifestSchema.parse({ owner: "local", name, version: digit.repeat(64).slice(0, 64), schema });
}

/** Offers models as a pool does, and leaves. */
async function register(models: Manifest[]): Promise<void> {
  const headers = { ...bearer(stack.poolToken), [SESSION_HEADER]: SESSION };
  const socket = new WebSocket(`${stack.url.replace("http", "ws")}/pool/v1/connect`, { headers });
  await once(socket, "open");
  const hello: PoolMessage = {
    ...{ type: "hello", protocol: PROTOCOL, session: SESSION, pool: "hostile", version: "1" },
    ...{ lanes: ["default"], devices: [], models },
  };
  socket.send(JSON.stringify(hello));
  await once(socket, "message");
  socket.close();
  await once(socket, "close");
}

const create = (account: string, more: object = {}): Promise<Response> =>
  fetch(`${stack.url}/v1/models/local/small/predictions`, {
    method: "POST",
    headers: bearer(keyOf(account)),
    body: JSON.stringify({ input: {}, ...more }),
  });
const created = async (account: string, more: object = {}) =>
  CreatedSchema.parse(await (await create(account, more)).json()).id;

async function pool(path: string, body: object): Promise<unknown> {
  const init = {
    method: "POST",
    headers: bearer(stack.poolToken),
    body: JSON.stringify({ session: SESSION, ...body }),
  };
  const answer = await fetch(`${stack.url}/pool/v1${path}`, init);
  expect(answer.status).toBe(200);
  return answer.json();
}

/** Claims a prediction; answers what sends its events. */
async function claimed(id: string) {
  const { claims } = ClaimReplySchema.parse(await pool("/claims", { jobs: [{ id, startNow: true }] }));
  const [claim] = claims;
  if (claim?.verdict !== "granted") throw new Error(`not granted: ${JSON.stringify(claims)}`);
  const { token } = claim;
  let { seq } = claim;
  return (...events: object[]) =>
    pool("/events", { events: events.map((event) => ({ id, token, seq: seq++, ...event })) });
}

async function finish(id: string, output: Json): Promise<void> {
  const send = await claimed(id);
  await send({ type: "succeeded", output });
}

/** An answer that nobody reads; null: it was refused. */
async function sleeping(path: string, account: string, accept = "application/json"): Promise<IncomingMessage | null> {
  const asked = request(`${stack.url}${path}`, { headers: { ...bearer(keyOf(account)), accept }, agent: false });
  asked.on("error", () => {});
  asked.end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.on("error", () => {});
  response.pause();
  if (response.statusCode === 200) return response;
  expect([429, 503]).toContain(response.statusCode);
  response.destroy();
  return null;
}

const times = <T>(count: number, run: (index: number) => T): T[] => Array.from({ length: count }, (_, at) => run(at));

/** By how many MiB workerd grows while `run` runs. Meanwhile, a quiet account is served. */
async function growthOf(run: () => Promise<unknown>): Promise<number> {
  const pid = stack.pids().workerd ?? 0;
  const before = usageOf(pid).rssBytes;
  expect(before, "what workerd has, by the pid that the stack names").toBeGreaterThan(0);
  const memory = watchMemory(pid);
  const [, quiet] = await Promise.all([run(), create("quiet")]);
  const growth = (memory.stop() - before) / MIB;
  console.log(`workerd grew by ${growth.toFixed(0)} MiB from ${(before / MIB).toFixed(0)}`);
  expect(quiet.status).toBe(201);
  return growth;
}

test("models that say much of themselves, listed, read and run by many at once", { timeout: 300_000 }, async () => {
  const text = "x".repeat(8000);
  const models = times(24, (index) =>
    manifestOf(
      `large-${index}`,
      (index + 256).toString(16),
      Object.fromEntries(times(120, (at) => [`p${at}`, { type: "string", description: text }])),
    ),
  );
  for (let at = 0; at < models.length; at += 6) await register(models.slice(at, at + 6));
  const read = async (path: string) => {
    const answer = await fetch(`${stack.url}${path}`, { headers: bearer(keyOf("one")) });
    expect(answer.status).toBe(200);
    return (await answer.arrayBuffer()).byteLength;
  };
  const growth = await growthOf(async () => {
    for (const bytes of await Promise.all(times(8, () => read("/v1/models")))) expect(bytes).toBeLessThan(4 * MIB);
    for (const { name, version } of models.slice(0, 12)) {
      const run = { method: "POST", headers: bearer(keyOf("two")), body: JSON.stringify({ version, input: {} }) };
      const answers = await Promise.all([
        read(`/v1/models/local/${name}/versions/${version}`),
        fetch(`${stack.url}/v1/predictions`, run).then((answer) => answer.status),
      ]);
      expect(answers).toEqual([expect.any(Number), 201]);
    }
  });
  expect(growth).toBeLessThan(400);
});

test("bodies of 16 MiB from three accounts, eight at once of each", async () => {
  const body = { input: { text: "y".repeat(15.9 * MIB) } };
  const growth = await growthOf(async () => {
    const sent = ["one", "two", "three"].flatMap((account) => times(8, () => create(account, body)));
    const statuses = await Promise.all(sent.map(async (answer) => (await answer).status));
    for (const status of statuses) expect([201, 429, 503]).toContain(status);
    expect(statuses).toContain(201);
  });
  expect((await create("one", body)).status).toBe(201);
  expect(growth).toBeLessThan(800);
});

test("outputs and logs of a quarter of a MiB, in answers, streams and lists", async () => {
  const output = "z".repeat(250 * KIB);
  const ids = await Promise.all(times(100, () => created("four")));
  for (const id of ids) {
    const send = await claimed(id);
    await send({ type: "log", text: "log line\n".repeat(28 * KIB) }, { type: "succeeded", output });
  }
  const unread = await growthOf(async () => {
    const asleep = await Promise.all([
      ...times(5, () => ids.map((id) => sleeping(`/v1/predictions/${id}`, "four"))).flat(),
      ...ids.map((id) => sleeping(`/v1/predictions/${id}/stream`, "four", "text/event-stream")),
    ]);
    for (const answer of asleep) answer?.destroy();
  });
  const listed = await growthOf(async () => {
    const list = async () => (await fetch(`${stack.url}/v1/predictions`, { headers: bearer(keyOf("four")) })).text();
    for (const text of await Promise.all(times(20, list))) expect(text.length).toBeLessThan(MIB);
  });
  expect(unread).toBeLessThan(400);
  expect(listed).toBeLessThan(300);
});

test("webhooks with large bodies, to a host that never answers", async () => {
  const { port } = receiver.address() as AddressInfo;
  const webhook = { webhook: `http://127.0.0.1:${port}/hook`, webhook_events_filter: ["completed"] };
  const growth = await growthOf(async () => {
    for (let sent = 0; sent < 300; sent += 30) {
      const accounts = ["one", "two", "three"];
      const ids = await Promise.all(times(30, (at) => created(accounts[at % 3] ?? "", webhook)));
      await Promise.all(ids.map((id) => finish(id, "w".repeat(250 * KIB))));
    }
  });
  expect(growth).toBeLessThan(400);
});

test("streams of four accounts, a hundred readers of each, who sleep through 16 MiB", async () => {
  const accounts = ["one", "two", "three", "four"];
  const streams = await Promise.all(
    accounts.map(async (account) => {
      const id = await created(account, { stream: true });
      return { account, id, send: await claimed(id) };
    }),
  );
  const growth = await growthOf(async () => {
    const asleep = await Promise.all(
      streams.flatMap(({ account, id }) =>
        times(100, () => sleeping(`/v1/predictions/${id}/stream`, account, "text/event-stream")),
      ),
    );
    for (let sent = 0; sent < 64; sent += 1) {
      await Promise.all(streams.map(({ send }) => send({ type: "output", chunk: "s".repeat(250 * KIB) })));
    }
    for (const answer of asleep) answer?.destroy();
  });
  expect(growth).toBeLessThan(800);
});
