/**
 * Simulated pools, shards and accounts on the real lane core, by a clock of their own: what starts when, and what each
 * was told of its place. Every message takes time; pools take ahead, poll until they are told that there is nothing,
 * and state their room.
 */
import { LaneCore } from "../../src/lane/core.ts";
import { placeOf } from "../../src/lane/places.ts";
import type { LaneRules } from "../../src/lane/rules.ts";
import { versionKey } from "../../src/lane/types.ts";
import type { LaneEntry, Ticket } from "../../src/lane/types.ts";
import type { Priority, QueuePlace } from "../../src/contract/prediction.ts";
import { memorySql } from "./memory-sql.ts";

/** A shard's or a pool's message on its way, in milliseconds. */
const HOP_MS = 2;

export type Job = {
  id: string;
  account: string;
  priority?: Priority;
  version?: string;
  weight?: number;
  /** What its run takes of its slot, and what its pool reports of it; the same unless said. */
  runMs: number;
  reportedMs?: number;
};

export type Start = {
  id: string;
  account: string;
  priority: Priority;
  version: string;
  session: string;
  at: number;
  runMs: number;
};
type Pool = {
  name: string;
  slots: number;
  ahead: number;
  versions: readonly string[];
  runs: Set<LaneEntry>;
  queued: LaneEntry[];
  seen: string[];
  ended: { id: string; ms: number }[];
  n: number;
  isPolling: boolean;
  isStating: boolean;
  isAlive: boolean;
};

export class LaneSim {
  now = 1_000_000;
  readonly core: LaneCore;
  readonly starts: Start[] = [];
  readonly submittedAt = new Map<string, number>();
  readonly jobs = new Map<string, Job & { entry: LaneEntry }>();
  onStart: (start: Start) => void = () => {};
  onEnd: (start: Start) => void = () => {};
  readonly #tickets = new Map<string, Ticket>();
  readonly #pools = new Map<string, Pool>();
  readonly #events: { at: number; order: number; run: () => void }[] = [];
  readonly #isPrompt: boolean;
  #order = 0;
  #wakesAt = Infinity;

  /** `isPrompt`: a pool that has room again states it at once, before its poll arrives, as real pools do. */
  constructor(rules: Partial<LaneRules> = {}, { isPrompt = false } = {}) {
    this.#isPrompt = isPrompt;
    this.core = new LaneCore(memorySql(), { now: () => this.now, rules });
  }

  addPool(name: string, slots: number, versions: readonly string[] = ["v"], ahead = 0): void {
    const pool: Pool = {
      name,
      slots,
      ahead,
      versions,
      runs: new Set(),
      queued: [],
      seen: [],
      ended: [],
      n: 0,
      isPolling: false,
      isStating: false,
      isAlive: true,
    };
    this.#pools.set(name, pool);
    this.#state(pool);
  }

  after(delayMs: number, run: () => void): void {
    const event = { at: this.now + delayMs, order: (this.#order += 1), run };
    // A binary heap by hand would be no clearer: most events are near the end.
    let index = this.#events.length;
    while (index > 0) {
      const before = this.#events[index - 1];
      if (before === undefined || before.at > event.at || (before.at === event.at && before.order > event.order)) break;
      index -= 1;
    }
    this.#events.splice(index, 0, event);
  }

  /** Hands on to the lane at once. */
  submit(jobs: readonly Job[]): void {
    this.#offer(jobs.map((job) => this.#accept(job)));
  }

  /** Tries the short way, as shards do, and hands on what finds no room there. */
  submitShort(jobs: readonly Job[]): void {
    const entries = jobs.map((job) => this.#accept(job));
    this.after(HOP_MS, () => {
      const answers = this.core.reserve(entries);
      this.#act();
      this.after(HOP_MS, () => {
        const waits = entries.filter((entry, index) => {
          const answer = answers[index];
          if (answer?.outcome === "reserved") this.after(HOP_MS, () => this.#hand(answer.session, [entry]));
          return answer?.outcome !== "reserved";
        });
        this.after(HOP_MS, () => this.#offer(waits));
      });
    });
  }

  #accept(job: Job): LaneEntry {
    const entry = entryOf(job, this.now);
    this.jobs.set(job.id, { ...job, entry });
    this.submittedAt.set(job.id, this.now);
    return entry;
  }

  #offer(entries: readonly LaneEntry[]): void {
    for (const [id, ticket] of Object.entries(this.core.offer(entries).tickets)) this.#tickets.set(id, ticket);
    this.#act();
  }

  /** What the client of a prediction that waits would be told now. */
  place(id: string): QueuePlace {
    const job = this.jobs.get(id);
    if (job === undefined) throw new Error(`nobody submitted ${id}`);
    return placeOf(this.#tickets.get(id) ?? null, job.entry, this.core.view([job.entry]));
  }

  /** A shard hands on again what it believes to wait. */
  offerAgain(ids: readonly string[]): void {
    const entries = ids.flatMap((id) => {
      const job = this.jobs.get(id);
      return job === undefined || this.starts.some((start) => start.id === id) ? [] : job.entry;
    });
    for (const [id, ticket] of Object.entries(this.core.offer(entries).tickets)) this.#tickets.set(id, ticket);
    this.#act();
  }

  /**
   * A pool dies with all that it holds: its channel closes, and after a while shards hand on again what they had
   * granted to it. Answers their ids.
   */
  kill(name: string, handedOnAfterMs: number): string[] {
    const pool = this.#pools.get(name);
    if (pool === undefined) throw new Error(`there is no pool ${name}`);
    const held = [...pool.runs, ...pool.queued].filter(({ id }) => this.jobs.has(id));
    pool.isAlive = false;
    this.core.gone(name);
    this.#act();
    this.after(handedOnAfterMs, () => {
      const offers = held.map((entry) => ({ ...entry, isBack: true as const }));
      for (const [id, ticket] of Object.entries(this.core.offer(offers).tickets)) this.#tickets.set(id, ticket);
      this.#act();
    });
    return held.map(({ id }) => id);
  }

  /** A pool takes more than it can begin, and hands it back in two messages, the latest first. */
  takeAndReturn(name: string, count: number): void {
    const rooms = new Map([[versionKey({ model: "m/m", version: "v" }), { room: count, startNow: 0 }]]);
    const taken = this.core.take(name, rooms, count);
    this.core.granted(taken.map((entry) => ({ ...entry, session: name })));
    const half = Math.floor(taken.length / 2);
    for (const part of [taken.slice(half), taken.slice(0, half)]) this.offerAgain(part.map(({ id }) => id));
  }

  cancel(id: string): void {
    const job = this.jobs.get(id);
    if (job === undefined) return;
    this.core.withdraw([job.entry]);
    this.jobs.delete(id);
    this.#act();
  }

  /** Runs until the given time, or until nothing happens any more. */
  run(untilMs: number): void {
    const end = this.now + untilMs;
    for (;;) {
      const next = this.#events.pop();
      if (next === undefined) break;
      if (next.at > end) {
        this.#events.push(next);
        break;
      }
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  hasEvents(): boolean {
    return this.#events.length > 0;
  }

  #act(): void {
    const due = this.core.due();
    for (const name of due.work) this.after(HOP_MS, () => this.#poll(name));
    for (const name of due.tell) this.after(HOP_MS, () => this.#withPool(name, (pool) => this.#state(pool)));
    for (const [name, entries] of due.pushes) this.after(HOP_MS, () => this.#hand(name, entries));
    if (due.nextAt === null || due.nextAt >= this.#wakesAt) return;
    this.#wakesAt = due.nextAt;
    const at = due.nextAt;
    this.after(Math.max(1, due.nextAt - this.now), () => {
      if (this.#wakesAt !== at) return;
      this.#wakesAt = Infinity;
      this.#act();
    });
  }

  #withPool(name: string, act: (pool: Pool) => void): void {
    const pool = this.#pools.get(name);
    if (pool?.isAlive === true) act(pool);
  }

  #poll(name: string): void {
    this.#withPool(name, (pool) => {
      const room = roomOf(pool);
      if (pool.isPolling || room === 0) return;
      pool.isPolling = true;
      const rooms = new Map(
        pool.versions.map((version) => [
          versionKey({ model: "m/m", version }),
          { room, startNow: pool.slots - pool.runs.size },
        ]),
      );
      this.after(HOP_MS, () => {
        if (!pool.isAlive) return;
        const entries = this.core.take(name, rooms, room);
        this.#act();
        this.after(HOP_MS, () => {
          pool.isPolling = false;
          this.#hand(name, entries);
          if (entries.length > 0) this.#poll(name);
        });
      });
    });
  }

  /** The shard grants, and the pool has it. */
  #hand(name: string, entries: readonly LaneEntry[]): void {
    this.#withPool(name, (pool) => {
      // Whoever was canceled meanwhile is granted no more.
      const there = entries.filter(({ id }) => this.jobs.has(id));
      this.core.granted(there.map((entry) => ({ ...entry, session: name })));
      for (const entry of there) {
        pool.queued.push(entry);
        pool.seen.push(entry.id);
      }
      this.#begin(pool);
      this.#stateSoon(pool);
      this.#act();
    });
  }

  #begin(pool: Pool): void {
    while (pool.runs.size < pool.slots) {
      const entry = pool.queued.shift();
      if (entry === undefined) return;
      const job = this.jobs.get(entry.id);
      if (job === undefined) {
        pool.ended.push({ id: entry.id, ms: 0 });
        continue;
      }
      pool.runs.add(entry);
      const { id, account, priority, version } = entry;
      const start = { id, account, priority, version, session: pool.name, at: this.now, runMs: job.runMs };
      this.starts.push(start);
      this.onStart(start);
      this.after(job.runMs, () => {
        if (!pool.isAlive) return;
        const wasFull = roomOf(pool) === 0;
        pool.runs.delete(entry);
        pool.ended.push({ id, ms: job.reportedMs ?? job.runMs });
        this.jobs.delete(id);
        this.onEnd(start);
        this.#begin(pool);
        if (this.#isPrompt && wasFull && roomOf(pool) > 0) {
          this.#state(pool);
          this.after(2 * HOP_MS, () => this.#poll(pool.name));
          return;
        }
        this.#poll(pool.name);
        this.#stateSoon(pool);
      });
    }
  }

  #stateSoon(pool: Pool): void {
    if (pool.isStating) return;
    pool.isStating = true;
    this.after(20, () => {
      pool.isStating = false;
      this.#state(pool);
    });
  }

  #state(pool: Pool): void {
    pool.n += 1;
    const room = roomOf(pool);
    const startNow = pool.slots - pool.runs.size;
    const report = {
      session: pool.name,
      n: pool.n,
      full: true,
      models: pool.versions.map((version) => ({ model: "m/m", version, room, startNow, readyInMs: 0, problem: null })),
      seen: pool.seen.splice(0),
      ended: pool.ended.splice(0),
    };
    this.after(HOP_MS, () => {
      if (!pool.isAlive) return;
      this.core.tell(report);
      this.#act();
    });
  }
}

function roomOf({ slots, ahead, runs, queued }: Pool): number {
  return Math.max(0, slots + ahead - runs.size - queued.length);
}

function entryOf({ id, account, priority = "normal", version = "v", weight = 1 }: Job, now: number): LaneEntry {
  return {
    id,
    account,
    weight,
    priority,
    cost: 1,
    model: "m/m",
    version,
    createdAt: now,
    startBy: now + 86_400_000,
    traceparent: null,
  };
}
