/**
 * The lane without its object: what waits, in fair order, and the room that pools told. Synchronous; clock injected.
 *
 * ```
 *        reserve ──────────────────────────▶ run ──ended──▶ settled
 * offer ──▶ waiting ──take, due, release──▶ marked ──granted──▶ run
 *              ▲──────────not granted──────────┘
 * ```
 *
 * Only what waits is stored, and sessions by name. The rest is memory, each part of it with a bound: see `LaneRules`.
 */
import type { PredictionError, Priority } from "../contract/prediction.ts";
import type { Sql } from "../shard/sql.ts";
import { Backlog, entryOf } from "./backlog.ts";
import type { Mark } from "./backlog.ts";
import { CreditBook } from "./credit.ts";
import type { Session } from "./credit.ts";
import { findDue } from "./due.ts";
import { defaultRules } from "./rules.ts";
import type { LaneRules } from "./rules.ts";
import { versionKey } from "./types.ts";
import type { Due, EntryRef, LaneEntry, LaneStats, Offer, OfferReply, Reservation, RoomReport } from "./types.ts";
import { createRuns } from "./runs.ts";
import type { Pick, Runs } from "./runs.ts";
import { noteEnd, noteStart } from "./demand.ts";
import { createVerdicts } from "./verdicts.ts";
import { laneView } from "./view.ts";
import { nextVersion, noteTurn, windowOf } from "./turns.ts";
import { chargePerCost, markedOf } from "./version.ts";
import type { Version } from "./version.ts";
import { Versions } from "./versions.ts";

export class LaneCore {
  readonly rules: LaneRules;
  readonly credit: CreditBook;
  readonly backlog: Backlog<Pick>;
  readonly verdicts = createVerdicts();
  readonly versions: Versions;
  readonly #now: () => number;
  readonly #wall: () => number;
  readonly runs: Runs;
  /** Marks that end by time, oldest first. */
  readonly #timed = new Map<string, number>();
  #nextRelease = 0;

  constructor(sql: Sql, deps: { now: () => number; wall?: () => number; rules?: Partial<LaneRules> }) {
    [this.#now, this.#wall] = [deps.now, deps.wall ?? deps.now];
    this.rules = { ...defaultRules, ...deps.rules };
    const { reservedMs, handedMs, unseenMs } = this.rules;
    this.credit = new CreditBook({ reserved: reservedMs, taken: handedMs, pushed: handedMs, granted: unseenMs });
    this.versions = new Versions({
      now: deps.now,
      rules: this.rules,
      createNode: (key) => this.backlog.fair.createNode(key),
      isServed: (key) => this.credit.serving(key).length > 0,
    });
    this.backlog = new Backlog<Pick>(
      sql,
      ({ key }) => this.versions.isOpen(key),
      (model, version) => this.versions.of({ model, version }).node,
      (flow, rows, available) => this.versions.count(flow, rows, available),
    );
    this.runs = createRuns(this.rules, (flow, ms) => this.backlog.fair.settle(flow, ms));
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
    for (const id of ids) if (this.runs.get(id)?.isReserved === true) this.#cancelRun(id, now);
  }

  /** Stores what waits; known ids keep their places. */
  offer(entries: readonly Offer[]): Omit<OfferReply, "view" | "full"> {
    const now = this.#expire();
    const failed: Record<string, PredictionError> = {};
    const toStore: LaneEntry[] = [];
    for (const entry of entries) {
      const error = this.verdicts.failure(versionKey(entry), now);
      if (error === null) toStore.push(entry);
      else failed[entry.id] = error;
      // It waits, so it doesn't run, and nobody has what comes back in hand: what it was granted for came to nothing.
      this.#cancelRun(entry.id, now, entry.isPaid);
      this.runs.takeEarly(entry.id);
      if (entry.isBack === true) this.unmark(entry.id, now);
    }
    return { tickets: this.backlog.offer(toStore), failed };
  }

  withdraw(refs: readonly EntryRef[]): void {
    const now = this.#now();
    for (const { id } of refs) {
      if (this.runs.get(id)?.isReserved === true) this.#cancelRun(id, now);
      const mark = this.backlog.marks.get(id);
      if (mark === undefined) continue;
      this.backlog.fair.settle(mark.flow, -mark.about.chargedMs);
      this.#unmarked(id, mark.about);
      this.credit.release(id, now);
    }
    this.backlog.remove(refs);
  }

  /** Their shards granted these: they wait no longer, and take the session's room until its pool acknowledges them. */
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
    const open = [...rooms.keys()].flatMap((key) => this.versions.get(key) ?? []);
    for (const version of open) version.openAt = now;
    const taken: LaneEntry[] = [];
    while (taken.length < max) {
      const version = nextVersion(session, open, this.credit, (one) => this.mayRun(one, now));
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
    const versions = [...this.versions.busy];
    const released: LaneEntry[] = [];
    for (let index = 0; index < versions.length && released.length < max; index += 1) {
      const version = versions[(this.#nextRelease + index) % versions.length];
      if (version === undefined) continue;
      for (let left = windowOf(version, this.credit, this.rules); left > 0 && released.length < max; left -= 1) {
        const entry = this.mayRun(version, now) ? this.pick(version, "released", null, now) : null;
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
    for (const version of this.versions.all()) {
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
    const isFirst = session.n === null;
    const isNews = this.credit.tell(session, report.n, report.full, report.models, now);
    this.credit.seen(session, report.seen, now);
    for (const { id, ms } of report.ended) this.#end(id, ms, now);
    if (!isNews) return;
    for (const key of new Set([...before, ...report.models.map(versionKey)])) {
      const version = this.versions.get(key);
      if (version !== undefined && this.credit.serving(key).length > 0) version.openAt = now;
      this.#judge(key, now);
    }
    // Verdicts may have waited for this session to be heard.
    if (isFirst) for (const { key } of this.versions.busy) this.#judge(key, now);
  }

  /** The session drains or is over. */
  gone(name: string): void {
    const now = this.#now();
    const session = this.credit.sessions.get(name);
    this.backlog.rows.removeSession(name);
    if (session === undefined) return;
    for (const { id } of session.holds.values()) {
      if (this.runs.get(id)?.isReserved === true) this.#cancelRun(id, now);
    }
    for (const [id, { about }] of this.backlog.marks) if (about.session === name) this.unmark(id, now);
    const keys = [...session.credits.keys()];
    this.credit.gone(name);
    this.runs.gone(name, now);
    for (const key of keys) this.#judge(key, now);
  }

  sessions(): string[] {
    return [...this.credit.sessions.keys()];
  }

  /** What shards need to tell places of these. */
  view(asked: readonly Omit<EntryRef, "id" | "createdAt">[]): ReturnType<typeof laneView> {
    return laneView(asked, this.versions, this.backlog, this.credit, this.#now());
  }

  /** What waits of one priority, oldest first. */
  peek(priority: Priority, offset: number, limit: number): LaneEntry[] {
    return this.backlog.peek(priority, offset, limit);
  }

  hasWaiting(): boolean {
    const { high, normal, low } = this.versions.waiting;
    return high + normal + low > 0;
  }

  /** How many predictions of an account wait here. */
  waitingOf(account: string): number {
    return this.versions.waitingOf(account);
  }

  stats(): LaneStats {
    return {
      waiting: { ...this.versions.waiting },
      sessions: this.credit.sessions.size,
      inFlight: this.versions.inFlight(),
    };
  }

  /** How much of everything is in memory, for tests of its bounds. */
  memory(): Record<"flows" | "loaded" | "marks" | "holds" | "runs" | "versions" | "ended" | "lost", number> {
    return {
      flows: [...this.backlog.flows()].length,
      loaded: this.backlog.loaded(),
      marks: this.backlog.marks.size,
      holds: this.credit.heldCount(),
      runs: this.runs.size(),
      versions: this.versions.size,
      ended: this.runs.earlySize(),
      lost: this.runs.lostSize(),
    };
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
    const picked = this.backlog.pick(flow, {
      kind,
      session: session?.name ?? null,
      version,
      chargedMs,
      at: now,
      pushedAt: -Infinity,
    });
    if (picked === null) return null;
    const { id } = picked.waiting;
    if (kind === "released") version.released.add(id);
    else this.#timed.set(id, now);
    this.versions.noteBusy(version);
    if (session !== null && kind !== "failing") {
      this.credit.hold(id, session, version.key, kind === "pushed" ? "pushed" : "taken", now);
      noteTurn(session, version, chargedMs);
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
    const known = this.runs.get(entry.id);
    if (known?.isReserved === true) return { outcome: "reserved", session: known.session };
    if (this.credit.serving(key).length === 0 || this.runs.isFull()) return { outcome: "waits" };
    const version = this.versions.of(entry);
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
    const [version, flow] = [this.versions.of(entry), this.backlog.flowOf(entry)];
    this.runs.begin(entry.id, { flow, version, session, cost: entry.cost, chargedMs, at: now, isReserved });
  }

  #granted(ref: EntryRef & { session: string }, now: number): void {
    const { id, session: name } = ref;
    const mark = this.backlog.marks.get(id);
    const run = this.runs.get(id);
    // The news came twice.
    if (run !== undefined && !run.isReserved && run.session === name && mark === undefined) return;
    const version = this.versions.of(ref);
    if (mark !== undefined) this.#unmarked(id, mark.about);
    const early = this.runs.takeEarly(id);
    const cost = mark?.waiting.cost ?? run?.cost ?? 1;
    const weight = this.backlog.find(ref)?.weight ?? 1;
    const entry: LaneEntry = { ...ref, cost, weight, startBy: 0, traceparent: null };
    noteStart(version, run?.isReserved === true, ref.priority, this.#wall() - ref.createdAt);
    if (early?.isSettled !== true) {
      const reservedMs = run?.isReserved === true ? run.chargedMs : null;
      const chargedMs = mark?.about.chargedMs ?? reservedMs ?? this.#charge(entry, version);
      this.#begin(entry, name, chargedMs, false, now);
    }
    if (early !== undefined) this.#end(id, early.ms, now);
    const session = this.credit.sessions.get(name);
    if (session === undefined || early !== undefined) this.credit.release(id, now);
    else this.credit.hold(id, session, version.key, "granted", now);
  }

  /** A pool no longer holds `id`; it took `ms` of its device. */
  #end(id: string, ms: number, now: number): void {
    this.credit.release(id, now);
    const version = this.runs.end(id, ms, now);
    if (version === null) return;
    noteEnd(version, ms);
    if (ms > 0) this.verdicts.ran(version.key);
  }

  /** A version that nobody has trouble with is what it was: a statement looks at no other session. */
  #judge(key: string, now: number): void {
    if (this.credit.problems(key) === 0 && !this.verdicts.knows(key)) return;
    this.verdicts.judge(key, this.credit.serving(key), this.credit.allHeard(this.rules.maxAsked), now);
  }

  #cancelRun(id: string, now: number, isPaid = false): void {
    if (this.runs.cancel(id, isPaid)) this.credit.release(id, now);
  }

  #unmarked(id: string, about: Pick): void {
    this.#timed.delete(id);
    about.version.released.delete(id);
    this.versions.noteBusy(about.version);
  }

  /** Reservations and marks that came to nothing. Answers the time. */
  #expire(): number {
    const now = this.#now();
    for (const { id, kind } of this.credit.expire(now)) if (kind === "reserved") this.#cancelRun(id, now);
    for (const [id, at] of this.#timed) {
      if (now - at < this.rules.handedMs) break;
      this.#timed.delete(id);
      this.unmark(id, now);
    }
    return now;
  }

  #session(name: string): Session {
    if (!this.credit.sessions.has(name)) this.backlog.rows.addSession(name);
    return this.credit.session(name);
  }
}
