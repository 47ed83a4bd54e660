/**
 * What a lane releases into a real Kafka: hints of what waits, in its order, as far as the pools' room reaches. The
 * embedded log has none of it: its job topics are the lane itself. One produce is in flight at a time; what comes
 * meanwhile rides in the next.
 */
import { shardName, shardOf } from "../contract/ids.ts";
import { jobTopic } from "../contract/job.ts";
import type { Env } from "../env.ts";
import { produceHalving } from "../log/halving.ts";
import { currentLog } from "../log/current-log.ts";
import type { CurrentLog } from "../log/current-log.ts";
import type { LogRecord } from "../log/types.ts";
import { callObject, retryDelayMs } from "../object-calls.ts";
import { remoteShard } from "../shard/remote.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { LaneCore } from "./core.ts";
import { jobOf } from "./job-of.ts";
import type { LaneEntry } from "./types.ts";

/** Records of one produce. */
const BATCH_RECORDS = 500;
/** A shard that doesn't answer by then is told again: until it answers, the lane releases nothing. */
const CALL_LIMIT_MS = 10_000;

export type ReleasesDeps = {
  env: Env;
  core: Pick<LaneCore, "release" | "released" | "releaseAgain" | "withdraw" | "hasWaiting">;
  lane(): string;
  kv: Pick<SyncKvStorage, "get" | "put">;
  after(delayMs: number, call: () => void): void;
};

export function createReleases({ env, core, lane, kv, after }: ReleasesDeps) {
  /** The epoch of the log that this lane released to last; null before that. */
  let epoch = kv.get<number>("log-epoch") ?? null;
  let releasing: Promise<void> | null = null;
  let failures = 0;
  /** Whether a failure is to be over before anything is tried again. */
  let isResting = false;

  /** Follows the log to another epoch: what was released to the one before leaves again. */
  function adopt({ setting }: CurrentLog): void {
    if (epoch === setting.epoch) return;
    epoch = setting.epoch;
    kv.put("log-epoch", epoch);
    failures = 0;
    isResting = false;
    core.releaseAgain();
  }

  async function produce(part: readonly LaneEntry[], current: CurrentLog): Promise<void> {
    const { epoch: to } = current.setting;
    const ids = part.map(({ id }) => id);
    await current.producer.produce(part.map((entry) => recordOf(lane(), entry, to)));
    // What went to a log that was left meanwhile goes to the new one, too.
    core.released(ids, epoch === to);
  }

  async function releaseAll(): Promise<void> {
    for (;;) {
      const current = await currentLog(env, epoch ?? 0);
      adopt(current);
      if (current.setting.choice.driver === "embedded") return;
      const batch = core.release(BATCH_RECORDS);
      if (batch.length === 0) return;
      try {
        await produceHalving(
          batch,
          (part) => produce(part, current),
          async (entry, reason) => {
            core.withdraw([entry]);
            const shard = shardName(shardOf(entry.id));
            const told = callObject(() => remoteShard(env, shard).undeliverable(entry.id, reason));
            await within(told, CALL_LIMIT_MS);
          },
        );
        failures = 0;
      } catch (error) {
        core.released(
          batch.map(({ id }) => id),
          false,
        );
        retryLater(error);
        return;
      }
    }
  }

  function retryLater(error: unknown): void {
    failures += 1;
    const retryInMs = retryDelayMs(failures, error);
    log.warn("lane_release_failed", { lane: lane(), retryInMs, reason: reasonOf(error) });
    isResting = true;
    after(retryInMs, () => {
      isResting = false;
      begin();
    });
  }

  function begin(): void {
    if (!core.hasWaiting()) return;
    releasing ??= releaseAll()
      .catch(retryLater)
      .finally(() => {
        releasing = null;
      });
  }

  return {
    adopt,

    /** Releases all that may leave; resolves when what was leaving at the call is in the log, or isn't. */
    async release(): Promise<void> {
      if (releasing !== null) await releasing;
      if (!isResting) begin();
      await releasing;
    },
  };
}

function recordOf(lane: string, entry: LaneEntry, epoch: number): LogRecord {
  const headers = entry.traceparent === null ? [] : [{ key: "traceparent", value: entry.traceparent }];
  return {
    topic: jobTopic(lane, entry.priority),
    key: entry.id,
    value: JSON.stringify(jobOf(lane, entry, epoch)),
    headers,
  };
}
