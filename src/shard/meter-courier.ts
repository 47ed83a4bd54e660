/** Hands usage to the meters of its accounts: in order, one call in flight per account, until it is taken. */
import { shardName, shardOf } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import type { Batch } from "../metering/take.ts";
import { objectNamed } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import type { ShardCore } from "./core.ts";
import { createCourier } from "./courier.ts";
import type { Courier } from "./courier.ts";
import type { WaitingUsage } from "./usage-outbox.ts";
import { usageRecords } from "./usage-records.ts";
import { within } from "./within.ts";

/** Records that one call carries. */
const BATCH_RECORDS = 500;
/**
 * How long usage is gathered, unless a batch is full: alone, and while more than one record came in the last batch.
 * Nobody waits for it, and each batch is some rows of its account's meter.
 */
const GATHER_MS = 200;
const BUSY_GATHER_MS = 3000;
/** A meter answers in about a second. A call that it never answers would be its account's last. */
const TAKE_LIMIT_MS = 20_000;
/** How often it is looked whether a batch is full meanwhile. */
const LOOK_MS = 250;
/** Between two pages of rows that are looked through. */
const SEARCH_PAUSE_MS = 5;
/** Stands for who looks through rows; no account has this id. */
const SEARCHER = "";

export function createMeterCourier(env: Env, { usage, store }: ShardCore): Courier {
  const timers = createObjectTimers();
  let lastBatch = 0;

  async function gathered(account: string): Promise<readonly WaitingUsage[]> {
    const gatherMs = lastBatch > 1 ? BUSY_GATHER_MS : GATHER_MS;
    let batch = usage.first(account, BATCH_RECORDS);
    for (let waitedMs = 0; waitedMs < gatherMs && batch.length < BATCH_RECORDS; waitedMs += LOOK_MS) {
      await sleep(Math.min(LOOK_MS, gatherMs));
      batch = usage.first(account, BATCH_RECORDS);
    }
    return batch;
  }

  async function hand(account: string): Promise<void> {
    if (account === SEARCHER) {
      await sleep(SEARCH_PAUSE_MS);
      usage.search();
      return;
    }
    const batch = await gathered(account);
    const [first] = batch;
    if (first === undefined) return;
    const byId = Map.groupBy(batch, ({ id }) => id);
    const records = [...byId].flatMap(([id, entries]) => {
      const row = store.get(id);
      return row === null ? [] : usageRecords(row, new Set(entries.map(({ n }) => n)));
    });
    const stub: unknown = objectNamed(env.METER, account);
    const taken = (stub as RemoteMeter).take(account, {
      source: shardName(shardOf(first.id)),
      records: records.toSorted((a, b) => a.n - b.n),
    });
    await within(taken, TAKE_LIMIT_MS, timers.after);
    lastBatch = batch.length;
    usage.settle(account, batch);
  }

  return createCourier(() => (usage.isBehind() ? [SEARCHER, ...usage.accounts()] : usage.accounts()), hand);
}

/** A meter as shards see it; the platform's own stub type walks through every type of the signatures. */
type RemoteMeter = { take(account: string, batch: Batch): Promise<void> };

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
