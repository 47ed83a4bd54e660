/**
 * Every record counts once, while pools and workerd are killed: what clients read is what the records add up to, and
 * each start that ended has one record.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import * as z from "zod";
import { createTopicReader } from "../../scripts/lib/usage-sink/reader.ts";
import { UsageEventSchema } from "../../src/metering/cloud-event.ts";
import type { AttemptRecord } from "../../src/metering/record.ts";
import { createClient, isFinished } from "./harness/client.ts";
import type { View } from "./harness/client.ts";
import { createExtraPool } from "./harness/extra-pool.ts";
import { createWorld } from "./harness/world.ts";
import type { World } from "./harness/world.ts";

const EACH = 120;
const PACE_MS = 40;
const LIMIT_MS = 120_000;
/** The second kills its process where it is told to. */
const models = ["trial", "echo"];

const KeySchema = z.looseObject({ key: z.string() });
const SumsSchema = z.object({
  results: z.array(
    z.looseObject({
      ...{ requests: z.number(), billed: z.number(), queued_ms: z.number(), run_ms: z.number(), gpu_us: z.number() },
    }),
  ),
});
type Sums = { requests: number; billed: number; queuedMs: number; runMs: number; gpuUs: number };
const nothing = (): Sums => ({ requests: 0, billed: 0, queuedMs: 0, runMs: 0, gpuUs: 0 });

async function keyOf(world: World, account: string): Promise<string> {
  const post = async (path: string, body: object) => {
    const response = await fetch(`${world.stack.url}/admin/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${world.stack.adminKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path} was refused with ${response.status}: ${await response.text()}`);
    return response.json();
  };
  await post("accounts", { name: account });
  return KeySchema.parse(await post("keys", { account, name: "chaos" })).key;
}

/** What the account reads of its own usage, summed over models, keys and devices. */
async function readUsage(world: World, key: string): Promise<Sums> {
  const url = `${world.stack.url}/v1/usage?by=hour&group=model,key,device&limit=1000`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
  const sums = nothing();
  for (const one of SumsSchema.parse(await response.json()).results) {
    sums.requests += one.requests;
    sums.billed += one.billed;
    sums.queuedMs += one.queued_ms;
    sums.runMs += one.run_ms;
    sums.gpuUs += one.gpu_us;
  }
  return sums;
}

/** Attempts that were published, by id; what comes twice must be the same. */
function createCollector(world: World) {
  const reader = createTopicReader(world.stack.kafka, "usage", 100);
  const offsets: Record<string, number> = {};
  const attempts = new Map<string, AttemptRecord>();
  return {
    attempts,
    async collect(): Promise<void> {
      for (;;) {
        const records = await reader.read(offsets);
        if (records.length === 0) return;
        for (const { partition, offset, value } of records) {
          offsets[partition] = Math.max(offsets[partition] ?? 0, offset + 1);
          const { data } = UsageEventSchema.parse(JSON.parse(value));
          if (data.kind !== "attempt") continue;
          const known = attempts.get(data.id);
          if (known !== undefined) expect(data).toEqual(known);
          attempts.set(data.id, data);
        }
      }
    },
  };
}

function sumOf(records: readonly AttemptRecord[]): Sums {
  const sums = nothing();
  for (const { flags, billed, queuedMs, runMs, gpuUs } of records) {
    const count = flags.includes("correction") ? 0 : 1;
    sums.requests += count;
    sums.billed += billed ? count : 0;
    sums.queuedMs += queuedMs;
    sums.runMs += runMs;
    sums.gpuUs += gpuUs;
  }
  return sums;
}

it("usage counts once while pools and workerd are killed", { timeout: 3 * LIMIT_MS }, async () => {
  const world = await createWorld("echo", { vars: { PUBLISH_TOPICS: "usage" } });
  const patience = new AbortController();
  const second = await createExtraPool(world, "second-pool", world.stack.url);
  try {
    second.start();
    const keys = [world.stack.apiKey, await keyOf(world, "other")];
    const clients = keys.map((key) => createClient(world.stack.url, key, patience.signal));
    const sent: Promise<View>[] = [];
    const disturb = async () => {
      const { killPool, killWorkerd } = world.stack;
      const strikes: (() => unknown)[] = [killPool, second.killForGood, killWorkerd, killPool];
      for (const strike of strikes) {
        await sleep((EACH * PACE_MS) / (strikes.length + 1));
        strike();
      }
    };
    const disturbed = disturb();
    for (let n = 0; n < EACH; n += 1) {
      for (const [index, client] of clients.entries()) {
        const model = models[n % models.length] ?? "";
        const key = `u${index}-${n}`;
        const act = model === "trial" && n % 15 === 0 ? { act: "crash" } : {};
        sent.push(client.create(key, { version: `local/${model}`, input: { key, number: n, ...act } }));
      }
      await sleep(PACE_MS);
    }
    await disturbed;
    const created = await Promise.all(sent);
    const ended = await Promise.all(
      created.map(async ({ id }, at) => {
        const client = clients[at % clients.length];
        for (;;) {
          const view = await client?.get(id);
          if (view === null || view === undefined || isFinished(view)) return view;
          await sleep(50);
        }
      }),
    );
    const { attempts, collect } = createCollector(world);
    const recordsOf = (id: string) => [...attempts.values()].filter(({ prediction }) => prediction === id);
    const isTold = (view: View | null | undefined) =>
      view?.status !== "succeeded" || attempts.has(`${view.id}.${view.attempt}`);
    await expect
      .poll(
        async () => {
          await collect();
          const byKey = await Promise.all(keys.map((key) => readUsage(world, key)));
          const requests = byKey.reduce((sum, one) => sum + one.requests, 0);
          return { told: ended.every(isTold), requests: requests - sumOf([...attempts.values()]).requests };
        },
        { timeout: LIMIT_MS, interval: 500 },
      )
      .toEqual({ told: true, requests: 0 });
    expect(ended.filter((view) => view?.status === "succeeded")).toHaveLength(keys.length * EACH);
    // Each start has one record at most, and the one that brought the result has its.
    for (const view of ended) {
      const own = recordsOf(view?.id ?? "").filter(({ flags }) => !flags.includes("correction"));
      expect(new Set(own.map(({ attempt }) => attempt)).size).toBe(own.length);
      expect(own.filter(({ billed }) => billed)).toHaveLength(1);
    }
    const byAccount = [...Map.groupBy(attempts.values(), ({ account }) => account).values()].map(sumOf);
    const read = await Promise.all(keys.map((key) => readUsage(world, key)));
    const order = (a: Sums, b: Sums) => a.gpuUs - b.gpuUs;
    expect(read.toSorted(order)).toEqual(byAccount.toSorted(order));
    expect(new Set([...attempts.values()].map(({ model }) => model)).size).toBe(models.length);
  } finally {
    patience.abort();
    await second.stop();
    await world.end();
  }
});
