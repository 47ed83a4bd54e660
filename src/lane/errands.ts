/**
 * What a lane tells others: pools that there is work, or to state their room; shards that a pool has room for what
 * waits there, or that its model can't be set up. A call that fails is not made again here: the lane finds what it was
 * for still waiting, and says so the next time.
 */
import { shardName, shardOf } from "../contract/ids.ts";
import type { DesiredLog, Nudge } from "../contract/channel.ts";
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import { remoteShard } from "../shard/remote.ts";
import { within } from "../shard/within.ts";
import type { Due, LaneEntry } from "./types.ts";

/** Calls to pools that may be in flight; the rest wait for their turn. */
const MAX_CALLS = 64;
/** A call without an answer is waited for no longer: it would hold its turn for ever. */
const CALL_LIMIT_MS = 30_000;

/**
 * Sessions that wait for a call are kept once for each kind of it, so that this is bounded by their number. `leaves`: a
 * test may lose what is told.
 */
export function createErrands(env: Env, lane: () => string, leaves: () => boolean) {
  const timers = createObjectTimers();
  const waiting = new Map<string, () => Promise<unknown>>();
  let inFlight = 0;

  function begin(name: string, call: () => Promise<unknown>): void {
    if (!leaves()) return;
    waiting.set(name, call);
    next();
  }

  function next(): void {
    for (const [name, call] of waiting) {
      if (inFlight >= MAX_CALLS) return;
      waiting.delete(name);
      inFlight += 1;
      void within(call(), CALL_LIMIT_MS, timers.after)
        .catch(() => {})
        .finally(() => {
          inFlight -= 1;
          next();
        });
    }
  }

  function sessionOf(session: string): RemoteSession {
    const stub: unknown = objectNamed(env.POOL, session);
    return stub as RemoteSession;
  }

  function byShard(entries: readonly LaneEntry[]): Map<string, string[]> {
    const shards = new Map<string, string[]>();
    for (const { id } of entries) {
      const shard = shardName(shardOf(id));
      shards.set(shard, [...(shards.get(shard) ?? []), id]);
    }
    return shards;
  }

  return {
    run({ pushes, work, tell, fail }: Due): void {
      for (const session of work) begin(`work ${session}`, () => sessionOf(session).work(lane()));
      for (const session of tell) begin(`tell ${session}`, () => sessionOf(session).askForRoom(lane()));
      for (const [session, entries] of pushes) {
        for (const [shard, ids] of byShard(entries)) {
          begin(`push ${session} ${shard}`, () => remoteShard(env, shard).push(session, ids));
        }
      }
      for (const { entries, error } of fail) {
        for (const [shard, ids] of byShard(entries)) {
          begin(`fail ${shard} ${ids[0] ?? ""}`, () => remoteShard(env, shard).failWaiting(ids, error));
        }
      }
    },

    /** The session's pool reads another log from now on; one that isn't told learns it when it connects again. */
    moveLog(session: string, desired: DesiredLog): void {
      begin(`move ${session}`, () => sessionOf(session).moveLog(desired));
    },

    /** The session's pool asks again for what changed; one that isn't told asks when it connects, and now and then. */
    nudge(session: string, what: Nudge): void {
      begin(`${what} ${session}`, () => sessionOf(session).nudge(what));
    },
  };
}

type RemoteSession = {
  work(lane: string): Promise<void>;
  askForRoom(lane: string): Promise<void>;
  moveLog(desired: DesiredLog): Promise<void>;
  nudge(what: Nudge): Promise<void>;
};
