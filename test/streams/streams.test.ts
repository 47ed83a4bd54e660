/** Streams over real sockets, with what breaks them: workerd dies, a reader sleeps, a reader leaves. */
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { usageOf } from "../bench/lib/processes.ts";

const MIB = 2 ** 20;
const CreatedSchema = z.object({ id: z.string(), urls: z.object({ stream: z.url() }) });

type Asked = { url: string; method?: string; headers: Record<string, string>; body?: string };
type Event = { event: string; id: number; data: string };

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-streams-"));
let stack: Stack;

beforeAll(async () => {
  const models = join(stateDir, "models");
  for (const [name, from] of [
    ["hello-world", "../../examples/hello-world"],
    ["stream-words", "../../examples/stream-words"],
    ["flood", "models/flood"],
  ] as const)
    cpSync(join(import.meta.dirname, from), join(models, name), { recursive: true });
  stack = await startStack({ stateDir, models, offline: true });
  await helloThrough(stack);
});
afterAll(async () => {
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

const headers = () => ({ authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" });

async function create(model: string, input: object): Promise<z.infer<typeof CreatedSchema>> {
  const url = `${stack.url}/v1/models/local/${model}/predictions`;
  const response = await fetch(url, { method: "POST", headers: headers(), body: JSON.stringify({ input }) });
  return CreatedSchema.parse(await response.json());
}

async function open({ url, method = "GET", headers: sent, body }: Asked): Promise<IncomingMessage> {
  const asked = request(url, { method, headers: sent, agent: false });
  asked.end(body);
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`the stream answered ${response.statusCode}`);
  // A connection that is cut ends the reading, and is no error of the test.
  response.on("error", () => {});
  return response;
}

/** Reads whole events into `into`, until the stream ends, is cut, or `enough`. */
async function read(response: IncomingMessage, into: Event[], enough = () => false): Promise<void> {
  let rest = "";
  response.setEncoding("utf8");
  try {
    for await (const text of response as AsyncIterable<string>) {
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const [, event, id, data] = /^event: (\w+)\nid: (\d+)\ndata: (.*)$/s.exec(block) ?? [];
        if (event !== undefined) into.push({ event, id: Number(id), data: (data ?? "").replaceAll("\ndata: ", "\n") });
      }
      if (enough()) return;
    }
  } catch (thrown) {
    if ((thrown as { code?: string }).code !== "ECONNRESET") throw thrown;
  } finally {
    response.destroy();
  }
}

/** Reads a stream to its end; opened again, behind the last event, as often as it breaks off. */
async function readToEnd(asked: Asked, events: Event[]): Promise<number> {
  let opened = 0;
  const isOver = () => ["done", "completed"].includes(events.at(-1)?.event ?? "");
  for (const giveUpAt = Date.now() + 60_000; !isOver() && Date.now() < giveUpAt; opened += 1) {
    const last = events.at(-1);
    const resume: Record<string, string> = last === undefined ? {} : { "last-event-id": String(last.id) };
    try {
      await read(await open({ ...asked, headers: { ...asked.headers, ...resume } }), events, isOver);
    } catch {
      await sleep(50);
    }
  }
  return opened;
}

const words = Array.from({ length: 100 }, (_, index) => `${index === 0 ? "" : " "}w${index}`);
const input = { text: words.join(""), delay_ms: 20 };

const isBack = () =>
  fetch(`${stack.url}/healthz`).then(
    ({ ok }) => ok,
    () => false,
  );

/** Kills workerd in the middle, and answers all that was told. */
async function readThroughKill(asked: Asked): Promise<Event[]> {
  const events: Event[] = [];
  const read = readToEnd(asked, events);
  await expect.poll(() => events.length, { interval: 5 }).toBeGreaterThan(15);
  stack.killWorkerd();
  expect(events.length).toBeLessThan(words.length);
  expect(await read).toBeGreaterThan(1);
  const ids = events.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)].toSorted((one, other) => one - other));
  return events;
}

test("kill -9 of workerd under `urls.stream`: by the last event's id the rest comes, every chunk once", async () => {
  const { urls } = await create("stream-words", input);
  const events = await readThroughKill({ url: urls.stream, headers: { accept: "text/event-stream" } });
  expect(events.filter(({ event }) => event === "output").map(({ data }) => data)).toEqual(words);
  expect(events.at(-1)).toMatchObject({ event: "done", data: "{}" });
});

test("kill -9 of workerd under Cog's stream: the same PUT brings the rest, every event once", async () => {
  await expect.poll(isBack).toBe(true);
  const events = await readThroughKill({
    url: `${stack.url}/v1/predictions/killed-under`,
    method: "PUT",
    headers: { ...headers(), accept: "text/event-stream" },
    body: JSON.stringify({ version: "local/stream-words", input }),
  });
  const chunks = events.filter(({ event }) => event === "output").map(({ data }): unknown => JSON.parse(data));
  expect(chunks).toEqual(words.map((chunk, index) => ({ chunk, index })));
  const others = events.map(({ event }) => event).filter((event) => event !== "output");
  expect(others).toEqual(["start", "metric", "completed"]);
});

const CHUNKS = 480;
/** Run, storage and one reader take about 180; each sleeper that were waited for with all in memory would add 30. */
const MAX_GROWTH_MIB = 320;
const PACE = { chunks: CHUNKS, chunk_bytes: 65_536, per_second: 80 };
const expectAll = (events: readonly Event[]) => {
  const numbers = events.filter(({ event }) => event === "output").map(({ data }) => Number.parseInt(data, 10));
  expect(numbers).toEqual(Array.from({ length: CHUNKS }, (_, index) => index));
  expect(events.at(-1)).toMatchObject({ event: "done", data: "{}" });
};

test("readers that sleep through 30 MB cost little memory, and get everything: on the same connection, or with their last id", async () => {
  const rssMib = () => usageOf(stack.pids().workerd ?? 0).rssBytes / MIB;
  await expect.poll(isBack).toBe(true);
  const { urls } = await create("flood", PACE);
  const asked = { url: urls.stream, headers: { accept: "text/event-stream" } };
  const sleepers = await Promise.all(Array.from({ length: 12 }, () => open(asked)));
  for (const sleeper of sleepers) sleeper.pause();
  const before = rssMib();
  expect(before, "what workerd has, by the pid that the stack names").toBeGreaterThan(0);
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, rssMib())), 50);
  const awake: Event[] = [];
  await readToEnd(asked, awake);
  expectAll(awake);
  clearInterval(watch);
  expect(peak - before).toBeLessThan(MAX_GROWTH_MIB);
  const [stays, leaves] = sleepers;
  const [all, rest]: [Event[], Event[]] = [[], []];
  if (stays === undefined || leaves === undefined) throw new Error("there are twelve");
  await read(stays, all);
  expectAll(all);
  await read(leaves, rest, () => rest.length > 3);
  await readToEnd(asked, rest);
  expectAll(rest);
  for (const sleeper of sleepers) sleeper.destroy();
});
