/** Memory of workerd under hostile sizes: much at once of what must never be held whole, or without end. */
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { usageOf, watchMemory } from "../bench/lib/processes.ts";

const MIB = 2 ** 20;
const MODELS = [
  ["hello-world", "../../examples/hello-world"],
  ["flood", "models/flood"],
  ["bulk", "models/bulk"],
] as const;

const CreatedSchema = z.object({ id: z.string(), urls: z.object({ get: z.url(), stream: z.url() }) });

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-memory-"));
let stack: Stack;

beforeAll(async () => {
  const models = join(stateDir, "models");
  for (const [name, from] of MODELS) cpSync(join(import.meta.dirname, from), join(models, name), { recursive: true });
  stack = await startStack({ stateDir, models, offline: true });
  await helloThrough(stack);
});
afterAll(async () => {
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

const headers = () => ({ authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" });

async function create(model: string, input: object, more: Record<string, string> = {}) {
  const url = `${stack.url}/v1/models/local/${model}/predictions`;
  const sent = { ...headers(), ...more };
  const response = await fetch(url, { method: "POST", headers: sent, body: JSON.stringify({ input }) });
  return CreatedSchema.parse(await response.json());
}

/** An answer that nobody reads yet. */
async function open(url: string, accept: string): Promise<IncomingMessage> {
  const asked = request(url, { headers: { ...headers(), accept }, agent: false });
  asked.end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.on("error", () => {});
  response.pause();
  expect(response.statusCode).toBe(200);
  return response;
}

/** By how many MiB workerd grows while `run` runs. */
async function growthOf(run: () => Promise<void>): Promise<number> {
  const pid = stack.pids().workerd ?? 0;
  const before = usageOf(pid).rssBytes;
  expect(before, "what workerd has, by the pid that the stack names").toBeGreaterThan(0);
  const memory = watchMemory(pid);
  await run();
  const growth = (memory.stop() - before) / MIB;
  console.log(`workerd grew by ${growth.toFixed(0)} MiB`);
  return growth;
}

const bytesOf = async (response: IncomingMessage): Promise<number> => {
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
};

test("an output of 16 MiB of small values, asked for twelve times at once, by answers and by streams", async () => {
  const { urls } = await create("bulk", { mib: 16 });
  await expect.poll(() => statusOf(urls.get), { timeout: 60_000, interval: 500 }).toBe("succeeded");
  const growth = await growthOf(async () => {
    const answers = await Promise.all([
      ...Array.from({ length: 6 }, () => open(urls.get, "application/json")),
      ...Array.from({ length: 6 }, () => open(urls.stream, "text/event-stream")),
    ]);
    for (const bytes of await Promise.all(answers.map(bytesOf))) expect(bytes).toBeGreaterThan(4 * MIB);
  });
  expect(growth).toBeLessThan(300);
});

/** By the list, which has no outputs that are stored apart. */
async function statusOf(url: string): Promise<string | undefined> {
  const response = await fetch(`${stack.url}/v1/predictions`, { headers: headers() });
  const { results } = z
    .object({ results: z.array(z.object({ id: z.string(), status: z.string() })) })
    .parse(await response.json());
  return results.find(({ id }) => url.endsWith(id))?.status;
}

test("bodies of 16 MiB of empty objects, eight at once", async () => {
  const body = `{"input":{"all":[${"{},".repeat((15.9 * MIB) / 3)}{}]}}`;
  const growth = await growthOf(async () => {
    const url = `${stack.url}/v1/models/local/hello-world/predictions`;
    const send = async () => (await fetch(url, { method: "POST", headers: headers(), body })).status;
    // What has no room beside the account's others is refused before it is looked at.
    for (const status of await Promise.all(Array.from({ length: 8 }, send))) expect([413, 429]).toContain(status);
  });
  expect(growth).toBeLessThan(500);
});

test("a hundred and fifty readers of one account that sleep through a stream of 30 MB", async () => {
  const { urls, id } = await create("flood", {});
  const growth = await growthOf(async () => {
    const sleepers = await Promise.all(Array.from({ length: 150 }, () => open(urls.stream, "text/event-stream")));
    await expect.poll(() => statusOf(id), { timeout: 60_000, interval: 500 }).toBe("succeeded");
    for (const sleeper of sleepers) sleeper.destroy();
  });
  expect(growth).toBeLessThan(500);
});
