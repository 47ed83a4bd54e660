/**
 * The lane without its object: what waits, in fair order, and the room that pools told. Synchronous; the clock is injected.
 *
 * ```
 *        reserve ──────────────────────────▶ run ──ended──▶ settled
 * offer ──▶ waiting ──take, due, release──▶ marked ──granted──▶ run
 *              ▲──────────not granted──────────┘
 * ```
 *
 * Only what waits is stored, and sessions by name. The rest is memory, and each part of it has a bound: see `LaneRules`.
 */
import type { PredictionError, Priority } from "../contract/prediction.ts";
import type { Sql } from "../shard/sql.ts";
import { Backlog, entryOf } from "./backlog.ts";
import type { Flow, Mark } from "./backlog.ts";
import { CreditBook } from "./credit.ts";
import type { Session } from "./credit.ts";
import { findDue } from "./due.ts";
import { defaultRules } from "./rules.ts";
import type { LaneRules } from "./rules.ts";
import { accountKey, versionKey } from "./types.ts";
import type { Due, EntryRef, LaneEntry, LaneStats, LaneView, OfferReply, Reservation, RoomReport } from "./types.ts";
import { createVerdicts } from "./verdicts.ts";
import { viewOf } from "./view.ts";
import { blend, chargePerCost, createVersion, meanPerCost, noteRun } from "./version.ts";
import type { Version } from "./version.ts";

/** Why an entry is out of the order. */
export type Pick = {
  kind: "taken" | "pushed" | "released" | "failing";
  version: Version;
  chargedMs: number;
  at: number;
  pushedAt: number;
};
type Run = {
  flow: Flow;
  version: Version;
  session: string;
  cost: number;
  chargedMs: number;
  at: number;
  isReserved: boolean;
};

export class LaneCore {
  readonly rules: LaneRules;
  readonly credit: CreditBook;
  readonly backlog: Backlog<Pick>;
  readonly verdicts = createVerdicts();
  /** Versions of which something waits that nobody has been handed, or that is in the log. */
  readonly busy = new Set<Version>();
  readonly #now: () => number;
  readonly #versions = new Map<string, Version>();
  readonly #runs = new Map<string, Run>();
  readonly #ended = new Map<string, number>();
  /** Marks that end by time, oldest first. */
  readonly #timed = new Map<string, number>();
  readonly #waitingOf = new Map<string, number>();
  readonly #waiting: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  #nextRelease = 0;

  constructor(sql: Sql, deps: { now: () => number; rules?: Partial<LaneRules> }) {
    this.#now = deps.now;
    this.rules = { ...defaultRules, ...deps.rules };
    const { reservedMs, handedMs, unseenMs } = this.rules;
    this.credit = new CreditBook({ reserved: reservedMs, taken: handedMs, pushed: handedMs, granted: unseenMs });
    this.backlog = new Backlog<Pick>(
      sql,
      (node) => this.#isOpen(node.key),
      (model, version) => this.version({ model, version }).node,
      (flow, rows, available) => this.#count(flow, rows, available),
    );
    this.backlog.start();
    for (const name of this.backlog.rows.sessions()) this.credit.session(name);
  }

  /** For each a session that starts it at once, or why it has to wait. Nothing is stored. */
  reserve(entries: readonly LaneEntry[]): Reservation[] {
    const now = this.#expire();
    return entries.map((entry) => this.#reserve(entry, now));
  }

  /** Reservations that nobody needs. */
  unused(ids: readonly string[]): void {
    const now = this.#now();
    for (const id of ids) this.#unreserve(id, now);
  }

  /** Stores what waits; known ids keep their places. */
  offer(entries: readonly LaneEntry[]): Omit<OfferReply, "view" | "full"> {
    const now = this.#expire();
    const failed: Record<string, PredictionError> = {};
    const toStore: LaneEntry[] = [];
    for (const entry of entries) {
      const error = this.verdicts.failure(versionKey(entry), now);
      if (error === null) toStore.push(entry);
      else failed[entry.id] = error;
      // It waits, so it doesn't run: what it was reserved for, or held, is over.
      this.#unreserve(entry.id, now);
    }
    return { tickets: this.backlog.offer(toStore), failed };
  }

  withdraw(refs: readonly EntryRef[]): void {
    const now = this.#now();
    for (const { id } of refs) {
      this.#unreserve(id, now);
      const mark = this.backlog.marks.get(id);
      if (mark === undefined) continue;
      this.backlog.fair.settle(mark.flow, -mark.about.chargedMs);
      this.#unmarked(id, mark.about);
      this.credit.release(id, now);
    }
    this.backlog.remove(refs);
  }

  /** Their shards granted these: they wait no longer, and take of the session's room until its pool has acknowledged them. */
  granted(refs: readonly (EntryRef & { session: string })[]): void {
    const now = this.#expire();
    for (const ref of refs) this.#granted(ref, now);
    this.backlog.remove(refs);
  }

  /** What a session that polls may run now, in order. `rooms`, by `versionKey`, replace what it told. */
  take(name: string, rooms: ReadonlyMap<string, { room: number; startNow: number }>, max: number): LaneEntry[] {
    const now = this.#expire();
    const session = this.#session(name);
    this.credit.polled(session, rooms, now);
    session.polledAt = now;
    const open = [...rooms.keys()].flatMap((key) => this.#versions.get(key) ?? []);
    for (const version of open) version.openAt = now;
    const taken: LaneEntry[] = [];
    while (taken.length < max) {
      const version = this.#nextFor(session, open, now);
      const entry = version === null ? null : this.pick(version, "taken", session, now);
      if (entry === null) break;
      taken.push(entry);
    }
    session.isPolling = taken.length > 0;
    return taken;
  }

  /** For a log that isn't the lane itself: what to produce now, in order. */
  release(max: number): LaneEntry[] {
    const now = this.#expire();
    const versions = [...this.busy];
    const released: LaneEntry[] = [];
    for (let index = 0; index < versions.length && released.length < max; index += 1) {
      const version = versions[(this.#nextRelease + index) % versions.length];
      if (version === undefined || this.verdicts.failure(version.key, now) !== null) continue;
      for (let left = this.#window(version, now); left > 0 && released.length < max; left -= 1) {
        const entry = this.pick(version, "released", null, now);
        if (entry === null) break;
        released.push(entry);
      }
    }
    this.#nextRelease += 1;
    return released;
  }

  /** Whether the log took these. */
  released(ids: readonly string[], isTaken: boolean): void {
    if (isTaken) return;
    for (const id of ids) if (this.backlog.marks.get(id)?.about.kind === "released") this.unmark(id, this.#now());
  }

  /** The log is another one: what is in the old one leaves again. Answers how many do. */
  releaseAgain(): number {
    let count = 0;
    for (const version of this.#versions.values()) {
      for (const id of version.released) {
        this.unmark(id, this.#now());
        count += 1;
      }
    }
    return count;
  }

  /** What others must know now. Says of each only as much as `rules` allow in one call. */
  due(): Due {
    return findDue(this, this.#expire(), this.#timed);
  }

  /** A pool's statement. */
  tell(report: RoomReport): void {
    const now = this.#expire();
    const session = this.#session(report.session);
    const before = report.full ? [...session.credits.keys()] : [];
    const isNews = this.credit.tell(session, report.n, report.full, report.models, now);
    this.credit.seen(session, report.seen, now);
    for (const { id, ms } of report.ended) this.#end(id, ms, now);
    if (!isNews) return;
    for (const key of new Set([...before, ...report.models.map(versionKey)])) {
      const version = this.#versions.get(key);
      if (version !== undefined && this.credit.serving(key).length > 0) version.openAt = now;
      this.verdicts.judge(key, this.credit.serving(key), now);
    }
  }

  /** The session drains or is over. */
  gone(name: string): void {
    const now = this.#now();
    const session = this.credit.sessions.get(name);
    this.backlog.rows.removeSession(name);
    if (session === undefined) return;
    for (const { id } of session.holds.values()) {
      this.#unreserve(id, now);
      const kind = this.backlog.marks.get(id)?.about.kind;
      if (kind === "taken" || kind === "pushed") this.unmark(id, now);
    }
    const keys = [...session.credits.keys()];
    this.credit.gone(name);
    for (const [id, run] of this.#runs) if (run.session === name) this.#forgetRun(id, run);
    for (const key of keys) this.verdicts.judge(key, this.credit.serving(key), now);
  }

  sessions(): string[] {
    return [...this.credit.sessions.keys()];
  }

  /** What shards need to tell places of these. */
  view(asked: readonly Omit<EntryRef, "id" | "createdAt">[]): LaneView {
    const now = this.#now();
    const view: LaneView = { models: [], served: {} };
    const seen = new Set<string>();
    for (const ref of asked) {
      const version = this.version(ref);
      if (!seen.has(version.key)) view.models.push(viewOf(version, this.credit, now));
      seen.add(version.key);
      const flow = this.backlog.find(ref);
      if (flow !== undefined)
        view.served[accountKey(ref)] = this.backlog.servedOf(flow, flow.meanMs ?? meanPerCost(version));
    }
    return view;
  }

  /** What waits of one priority, oldest first. */
  peek(priority: Priority, offset: number, limit: number): LaneEntry[] {
    const rows = this.backlog.rows.peek(priority, offset, limit);
    return rows.flatMap(({ flow, waiting }) => {
      const found = this.backlog.find(flow);
      return found === undefined ? [] : entryOf(found, waiting);
    });
  }

  hasWaiting(): boolean {
    return this.#waiting.high + this.#waiting.normal + this.#waiting.low > 0;
  }

  /** How many predictions of an account wait here. */
  waitingOf(account: string): number {
    return this.#waitingOf.get(account) ?? 0;
  }

  stats(): LaneStats {
    let inFlight = 0;
    for (const version of this.#versions.values()) inFlight += version.inFlight;
    return { waiting: { ...this.#waiting }, sessions: this.credit.sessions.size, inFlight };
  }

  /** How much of everything is in memory, for tests of its bounds. */
  memory(): Record<"flows" | "loaded" | "marks" | "holds" | "runs" | "versions" | "ended", number> {
    return {
      flows: [...this.backlog.flows()].length,
      loaded: this.backlog.loaded(),
      marks: this.backlog.marks.size,
      holds: this.credit.heldCount(),
      runs: this.#runs.size,
      versions: this.#versions.size,
      ended: this.#ended.size,
    };
  }

  version(ref: { model: string; version: string }): Version {
    const key = versionKey(ref);
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    if (this.#versions.size >= this.rules.maxVersions) this.#forgetVersions();
    const version = createVersion(key, ref.model, ref.version, this.backlog.fair.createNode(key));
    this.#versions.set(key, version);
    return version;
  }

  /** Whether more of a version may be handed out: one on trial is handed out alone. */
  mayRun(version: Version, now: number): boolean {
    if (this.backlog.marks.size >= this.rules.maxMarks) return false;
    if (this.verdicts.failure(version.key, now) !== null) return false;
    return version.inFlight + markedOf(version) === 0 || !this.verdicts.isOnTrial(version.key, now);
  }

  /** Takes the next of a version out of the order. `failing` isn't charged. */
  pick(version: Version, kind: Pick["kind"], session: Session | null, now: number): LaneEntry | null {
    const flow = this.backlog.fair.next(version.node);
    const head = flow === null ? null : this.backlog.head(flow);
    if (flow === null || head === null) return null;
    const chargedMs = kind === "failing" ? 0 : chargePerCost(version) * head.cost;
    this.backlog.fair.charge(flow, chargedMs);
    const picked = this.backlog.pick(flow, { kind, version, chargedMs, at: now, pushedAt: -Infinity });
    if (picked === null) return null;
    const { id } = picked.waiting;
    if (kind === "released") version.released.add(id);
    else this.#timed.set(id, now);
    this.#noteBusy(version);
    if (session !== null && kind !== "failing") {
      this.credit.hold(id, session, version.key, kind === "pushed" ? "pushed" : "taken", now);
      const credit = session.credits.get(version.key);
      if (credit !== undefined) credit.tag += chargedMs / Math.max(1, shareOf(version));
    }
    return picked.entry;
  }

  /** Of what is in the log and nobody claims: it goes to this session. */
  pushReleased(id: string, mark: Mark<Pick>, session: Session, now: number): LaneEntry {
    mark.about.pushedAt = now;
    this.credit.hold(id, session, mark.about.version.key, "pushed", now);
    return entryOf(mark.flow, mark.waiting);
  }

  /** The entry takes its place again, and its charge is given back. */
  unmark(id: string, now: number): void {
    const mark = this.backlog.unmark(id);
    if (mark === undefined) return;
    this.backlog.fair.settle(mark.flow, -mark.about.chargedMs);
    this.#unmarked(id, mark.about);
    this.credit.release(id, now);
  }

  #reserve(entry: LaneEntry, now: number): Reservation {
    const key = versionKey(entry);
    const error = this.verdicts.failure(key, now);
    if (error !== null) return { outcome: "failed", error };
    const known = this.#runs.get(entry.id);
    if (known?.isReserved === true) return { outcome: "reserved", session: known.session };
    if (this.credit.serving(key).length === 0 || this.#runs.size >= this.rules.maxRuns) return { outcome: "waits" };
    const version = this.version(entry);
    if (version.available + version.released.size > 0 || !this.mayRun(version, now)) return { outcome: "waits" };
    const session = this.credit.bestToStart(key);
    if (session === null) return { outcome: "waits" };
    this.credit.hold(entry.id, session, key, "reserved", now);
    this.#begin(entry, session.name, this.#charge(entry, version), true, now);
    return { outcome: "reserved", session: session.name };
  }

  #charge(entry: Parameters<Backlog<Pick>["flowOf"]>[0] & { cost: number }, version: Version): number {
    const chargedMs = chargePerCost(version) * entry.cost;
    this.backlog.fair.charge(this.backlog.flowOf(entry), chargedMs);
    return chargedMs;
  }

  #begin(entry: LaneEntry, session: string, chargedMs: number, isReserved: boolean, now: number): void {
    const version = this.version(entry);
    const flow = this.backlog.flowOf(entry);
    const known = this.#runs.get(entry.id);
    if (known !== undefined) this.#forgetRun(entry.id, known);
    this.#runs.set(entry.id, { flow, version, session, cost: entry.cost, chargedMs, at: now, isReserved });
    version.inFlight += 1;
    version.openAt = now;
    for (const [id, run] of this.#runs) {
      if (this.#runs.size <= this.rules.maxRuns && now - run.at < this.rules.maxRunMs) break;
      this.#forgetRun(id, run);
    }
  }

  #granted(ref: EntryRef & { session: string }, now: number): void {
    const { id, session: name } = ref;
    const mark = this.backlog.marks.get(id);
    const run = this.#runs.get(id);
    // The news came twice.
    if (run !== undefined && !run.isReserved && run.session === name && mark === undefined) return;
    const version = this.version(ref);
    version.rate.mark(1, now);
    const flow = this.backlog.find(ref);
    const cost = mark?.waiting.cost ?? run?.cost ?? 1;
    const entry: LaneEntry = { ...ref, cost, weight: flow?.weight ?? 1, startBy: 0, traceparent: null };
    const chargedMs =
      mark?.about.chargedMs ?? (run?.isReserved === true ? run.chargedMs : this.#charge(entry, version));
    if (mark !== undefined) this.#unmarked(id, mark.about);
    const endedAt = this.#ended.get(id);
    this.#ended.delete(id);
    if (endedAt === undefined) this.#begin(entry, name, chargedMs, false, now);
    else if (run !== undefined) this.#forgetRun(id, run);
    const session = this.credit.sessions.get(name);
    if (session === undefined || endedAt !== undefined) this.credit.release(id, now);
    else this.credit.hold(id, session, version.key, "granted", now);
  }

  /** A pool no longer holds `id`; it took `ms` of its device. */
  #end(id: string, ms: number, now: number): void {
    this.credit.release(id, now);
    const run = this.#runs.get(id);
    if (run === undefined || run.isReserved) this.#noteEnded(id, now);
    if (run === undefined) return;
    const { flow, version, cost, chargedMs } = run;
    this.#forgetRun(id, run);
    this.backlog.fair.settle(flow, ms - chargedMs);
    noteRun(version, ms, cost);
    if (ms > 0) flow.meanMs = flow.meanMs === null ? ms / cost : blend(flow.meanMs, ms / cost);
    if (ms > 0) this.verdicts.ran(version.key);
    version.openAt = now;
  }

  /** It ended before its shard told that it was granted. */
  #noteEnded(id: string, now: number): void {
    this.#ended.set(id, now);
    for (const [other, at] of this.#ended) {
      if (this.#ended.size <= this.rules.maxEnded && now - at < this.rules.endedMs) break;
      this.#ended.delete(other);
    }
  }

  #forgetRun(id: string, run: Run): void {
    if (this.#runs.delete(id)) run.version.inFlight -= 1;
  }

  #unreserve(id: string, now: number): void {
    const run = this.#runs.get(id);
    if (run === undefined) return;
    // What waits again ran elsewhere before: that run's end settles nothing any more.
    if (run.isReserved) this.backlog.fair.settle(run.flow, -run.chargedMs);
    this.#forgetRun(id, run);
    this.credit.release(id, now);
  }

  #unmarked(id: string, about: Pick): void {
    this.#timed.delete(id);
    about.version.released.delete(id);
    this.#noteBusy(about.version);
  }

  /** Reservations and marks that came to nothing. Answers the time. */
  #expire(): number {
    const now = this.#now();
    for (const { id, kind } of this.credit.expire(now)) if (kind === "reserved") this.#unreserve(id, now);
    for (const [id, at] of this.#timed) {
      if (now - at < this.rules.handedMs) break;
      this.#timed.delete(id);
      this.unmark(id, now);
    }
    return now;
  }

  /** Of the versions that a session has room for, the one that had least of it for those that wait. */
  #nextFor(session: Session, versions: readonly Version[], now: number): Version | null {
    let best: Version | null = null;
    let least = Infinity;
    for (const version of versions) {
      if (version.available === 0 || this.credit.rawRoom(session, version.key) === 0 || !this.mayRun(version, now))
        continue;
      const credit = session.credits.get(version.key);
      if (credit === undefined) continue;
      const tag = Math.max(credit.tag, session.virtual);
      if (tag >= least) continue;
      least = tag;
      best = version;
    }
    const credit = best === null ? undefined : session.credits.get(best.key);
    if (credit !== undefined) {
      credit.tag = least;
      session.virtual = least;
    }
    return best;
  }

  #window(version: Version, now: number): number {
    const serving = this.credit.serving(version.key);
    if (!this.mayRun(version, now)) return 0;
    if (serving.length === 0) return this.rules.unservedWindow - version.released.size;
    let room = 0;
    for (const session of serving) room += this.credit.room(session, version.key);
    return room - version.released.size;
  }

  #session(name: string): Session {
    if (!this.credit.sessions.has(name)) this.backlog.rows.addSession(name);
    return this.credit.session(name);
  }

  #isOpen(key: string): boolean {
    const version = this.#versions.get(key);
    return version !== undefined && (version.inFlight > 0 || this.#now() - version.openAt < this.rules.openMs);
  }

  #count(flow: Flow, rows: number, available: number): void {
    const version = this.version(flow);
    version.waiting[flow.priority] += rows;
    version.available += available;
    this.#waiting[flow.priority] += rows;
    const left = (this.#waitingOf.get(flow.account) ?? 0) + rows;
    if (left > 0) this.#waitingOf.set(flow.account, left);
    else this.#waitingOf.delete(flow.account);
    this.#noteBusy(version);
  }

  #noteBusy(version: Version): void {
    if (version.available > 0) version.waitingSince ??= this.#now();
    else version.waitingSince = null;
    if (version.available + version.released.size > 0) this.busy.add(version);
    else this.busy.delete(version);
  }

  #forgetVersions(): void {
    for (const [key, { node, inFlight }] of this.#versions) {
      if (node.flows === 0 && inFlight === 0 && this.credit.serving(key).length === 0) this.#versions.delete(key);
    }
  }
}

function shareOf({ node }: Version): number {
  return 6 * node.inner.high.heap.size + 3 * node.inner.normal.heap.size + node.inner.low.heap.size;
}

/** How many of its rows are out of the order. */
function markedOf({ waiting, available }: Version): number {
  return waiting.high + waiting.normal + waiting.low - available;
}
