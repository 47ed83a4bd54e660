/**
 * Publishes ended predictions: in batches, in the order of their ends, again and again until the log has them. A record
 * may come twice, with the same key.
 */
import { deadLetterReason } from "../contract/published.ts";
import type { Env } from "../env.ts";
import { produceHalving } from "../log/halving.ts";
import { currentLog } from "../log/current-log.ts";
import { createObjectTimers } from "../object-timers.ts";
import type { PublishSettings } from "../log/publish-settings.ts";
import { recordDeadLetters } from "../registry/dead-letters.ts";
import type { ShardCore } from "./core.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { createCourier } from "./courier.ts";
import { publishedRecords } from "./published-records.ts";
import type { Row } from "./row.ts";
import { within } from "./within.ts";

/** How long ends are gathered: alone, and while more than one came in the last batch. Nobody waits for them. */
const GATHER_MS = 200;
const BUSY_GATHER_MS = 1000;
const BATCH_ENDS = 200;
/** The publisher then gives a call to the database or the log up, and tries again: nothing else leaves meanwhile. */
const CALL_LIMIT_MS = 30_000;
/** Between two pages of rows that are looked through for ends. */
const SEARCH_PAUSE_MS = 5;

export type Publisher = { kick(): void };

export function createPublisher(env: Env, core: ShardCore, settings: PublishSettings): Publisher {
  const { ended } = core;
  const timers = createObjectTimers();
  let lastBatch = 0;
  let isFailing = false;

  function inTime<T>(call: Promise<T>): Promise<T> {
    return within(call, CALL_LIMIT_MS, timers.after);
  }

  async function publish(): Promise<void> {
    const gatherMs = lastBatch < BATCH_ENDS ? (lastBatch > 1 ? BUSY_GATHER_MS : GATHER_MS) : 0;
    await sleep(ended.isSearching() ? SEARCH_PAUSE_MS : gatherMs);
    const batch = ended.first(BATCH_ENDS);
    const rows = batch.flatMap(({ id }) => core.store.get(id) ?? []);
    if (settings.topics.has("jobs.dlq")) await inTime(recordDeadLetters(env, deadLetters(rows)));
    const records = rows.flatMap((row) => publishedRecords(row, settings));
    if (records.length > 0) {
      const { producer } = await currentLog(env);
      await produceHalving(
        records,
        async (part) => void (await inTime(producer.produce([...part]))),
        async ({ topic, key }, reason) => warn(`the log refuses a record of ${topic}`, { id: key, reason }),
      );
    }
    if (!ended.isSearching()) lastBatch = batch.length;
    ended.settle(batch);
  }

  /** One topic that the log doesn't let in holds up all: the operator is told why. */
  async function tellingWhy(): Promise<void> {
    try {
      await publish();
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn("ends_not_published", { reason: reasonOf(error) });
      isFailing = true;
      throw error;
    }
  }

  return createCourier(() => (ended.isPending() ? ["log"] : []), tellingWhy);
}

function deadLetters(rows: readonly Row[]) {
  return rows.flatMap(({ id, accountId, fixed, error, attempt, completedAt }) => {
    const reason = fixed.question === undefined ? deadLetterReason(error?.code ?? null) : null;
    if (reason === null || completedAt === null) return [];
    const model = `${fixed.model.owner}/${fixed.model.name}`;
    const { lane } = fixed;
    return [{ id, accountId, model, version: fixed.model.version, lane, reason, attempt, endedAt: completedAt }];
  });
}

function warn(message: string, about: object): void {
  console.warn(JSON.stringify({ level: "warn", at: "shard.publish", message, ...about }));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
