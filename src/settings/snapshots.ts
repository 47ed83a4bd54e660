/**
 * The snapshot of one isolate: read anew in the background when it is 2.5 s old, and waited for when it is 5 s old, so
 * that what is published holds everywhere within 5 s. While it can't be read, the last one holds for as long as it says
 * itself. A request keeps the snapshot that it began with; one that nobody uses any more is disposed of.
 *
 *   fresh ── 2.5 s ──▶ due: served, read in the background ── 5 s ──▶ old: waited for
 *   old ── can't be read ──▶ stale: served for `serve_stale_s`, counted, tried every second ──▶ refused
 */
import type { Snapshot } from "../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { PushedPolicy } from "../sandbox/pushed/policy.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { NumberedSettings } from "./schema.ts";
import type { Refresh } from "./settings-object.ts";

const REFRESH_AFTER_MS = 2500;
const MAX_AGE_MS = 5000;
/**
 * When the runtime ends a call whose client has left, nothing gives its snapshot back. A snapshot that was replaced
 * goes after this time at the latest. No request takes so long.
 */
const LOST_AFTER_MS = 600_000;
/** After a try that failed, or while one is under way. */
const RETRY_AFTER_MS = 1000;

export type SnapshotDeps = {
  now(): number;
  /** Throws when the settings can't be read now, in a second or two at the latest. */
  read(refresh: Refresh): Promise<NumberedSettings | null>;
  build(numbered: NumberedSettings): Promise<Snapshot>;
  /** Lets the work go on behind the answer of the request that began it. */
  background(work: Promise<unknown>): void;
};

/** A snapshot in use, and the same settings' word on plugins of pushed models. `release` is called once, at the end. */
export type Lease = { readonly snapshot: Snapshot; readonly pushed: PushedPolicy; release(): void };

type Known = {
  snapshot: Snapshot;
  pushed: PushedPolicy;
  staleMs: number;
  readAt: number;
  users: number;
  /** When another one took its place. */
  overAt: number | null;
};

export type Snapshots = ReturnType<typeof createSnapshots>;

export function createSnapshots({ now, read, build, background }: SnapshotDeps) {
  let known: Known | null = null;
  /** Snapshots that were replaced and are still in use. */
  const over = new Set<Known>();
  /** When the last try began in the background, and when one last failed. */
  let triedAt = -Infinity;
  let failedAt = -Infinity;
  let staleServed = 0;

  /** Throws when the settings can't be read, or not be set up here. */
  async function renew(): Promise<Known> {
    const began = now();
    const counted = staleServed;
    const numbered = await read({ number: known?.snapshot.version ?? null, staleServed: counted });
    staleServed -= counted;
    const fresh = numbered === null ? known : await swap(numbered, began);
    if (fresh === null) throw new Error("the settings object answered nothing");
    fresh.readAt = Math.max(fresh.readAt, began);
    failedAt = -Infinity;
    for (const one of over) if (now() - (one.overAt ?? Infinity) >= LOST_AFTER_MS) dispose(one);
    return fresh;
  }

  async function swap(numbered: NumberedSettings, began: number): Promise<Known> {
    const snapshot = await build(numbered);
    // Another request may have been faster, or have read a later one.
    if (known !== null && (known.snapshot.version === numbered.number || known.readAt > began)) {
      background(snapshot.dispose());
      return known;
    }
    const before = known;
    const { serve_stale_s: staleS, pushed_plugins: pushed } = numbered.settings;
    known = { snapshot, pushed, staleMs: staleS * 1000, readAt: began, users: 0, overAt: null };
    if (before !== null) {
      before.overAt = now();
      over.add(before);
      disposeIfUnused(before);
    }
    return known;
  }

  function disposeIfUnused(one: Known): void {
    if (one.overAt !== null && one.users === 0) dispose(one);
  }

  function dispose(one: Known): void {
    if (over.delete(one)) background(one.snapshot.dispose());
  }

  async function current(): Promise<Known> {
    const age = known === null ? Infinity : now() - known.readAt;
    if (known !== null && age < REFRESH_AFTER_MS) return known;
    if (known !== null && age < MAX_AGE_MS) {
      if (now() - triedAt >= RETRY_AFTER_MS) renewBehind();
      return known;
    }
    const last = known !== null && age < MAX_AGE_MS + known.staleMs ? known : null;
    // While each try fails, not every request waits for one of its own.
    if (now() - failedAt < RETRY_AFTER_MS) return last === null ? refuse() : stale(last);
    try {
      return await renew();
    } catch (error) {
      failed(error);
      return last === null ? refuse(error) : stale(last);
    }
  }

  function renewBehind(): void {
    triedAt = now();
    background(renew().catch(failed));
  }

  function failed(error: unknown): void {
    failedAt = now();
    log.warn("settings_not_read", { reason: reasonOf(error) });
  }

  function stale(last: Known): Known {
    staleServed += 1;
    return last;
  }

  return {
    /** Throws `unavailable` while the settings can't be read and the last ones are too old. */
    async lease(): Promise<Lease> {
      const one = await current();
      one.users += 1;
      return {
        snapshot: one.snapshot,
        pushed: one.pushed,
        release() {
          one.users -= 1;
          disposeIfUnused(one);
        },
      };
    },
  };
}

function refuse(cause?: unknown): never {
  const detail = "The gateway's settings can't be read at the moment.";
  throw new EdgeplaneError("unavailable", detail, cause === undefined ? {} : { cause });
}
