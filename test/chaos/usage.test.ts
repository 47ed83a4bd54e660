/**
 * Every record counts once, while pools and workerd are killed: what clients read is what the records add up to, and
 * each start that ended has one record.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import * as z from "zod";
import { ACCOUNT, callAdmin } from "../../scripts/lib/local-accounts.ts";
import { createClient, isFinished } from "./harness/client.ts";
import type { View } from "./harness/client.ts";
import { createExtraPool } from "./harness/extra-pool.ts";
import { accountNamed, settleUsage } from "./harness/usage.ts";
import { createWorld } from "./harness/world.ts";
import type { World } from "./harness/world.ts";

const EACH = 120;
const PACE_MS = 40;
const LIMIT_MS = 120_000;
/** The second kills its process where it is told to. */
const models = ["trial", "echo"];

const KeySchema = z.looseObject({ key: z.string() });
async function keyOf({ stack: { url, adminKey } }: World, account: string): Promise<string> {
  await callAdmin(url, adminKey, "POST", "accounts", { name: account });
  return KeySchema.parse(await callAdmin(url, adminKey, "POST", "keys", { account, name: "chaos" })).key;
}

it("usage counts once while pools and workerd are killed", { timeout: 3 * LIMIT_MS }, async () => {
  const world = await createWorld("echo");
  const patience = new AbortController();
  const second = await createExtraPool(world, "second-pool", world.stack.url);
  try {
    second.start();
    const keys = [world.stack.apiKey, await keyOf(world, "other")];
    const clients = keys.map((key) => createClient(world.stack.url, key, patience.signal));
    const sent: Promise<View>[] = [];
    const sentAs: string[] = [];
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
        sentAs.push(key);
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
    expect(ended.filter((view) => view?.status === "succeeded")).toHaveLength(keys.length * EACH);
    const readers = await Promise.all(
      [ACCOUNT, "other"].map(async (name, at) => ({
        account: await accountNamed(world.stack, name),
        key: keys[at] ?? "",
      })),
    );
    const runs = world.runs();
    const predictions = ended.flatMap((view, at) => {
      const key = sentAs[at] ?? "";
      return view === null || view === undefined ? [] : [{ view, runs: runs.get(key)?.length ?? 0 }];
    });
    expect(await settleUsage(world.stack, world.usage, readers, predictions)).toEqual([]);
    const attempts = [...world.usage.records.values()].filter(({ kind }) => kind === "attempt");
    expect(new Set(attempts.map(({ model }) => model)).size).toBe(models.length);
  } finally {
    patience.abort();
    await second.stop();
    await world.end();
  }
});
