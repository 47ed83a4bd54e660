/**
 * Room as credit: what pool sessions told, per version, less what was granted to them since and they haven't
 * acknowledged. Pure; the clock is injected by argument.
 *
 * ```
 * hold: reserved ──250 ms──▶ back          granted ──seen──▶ gone (the next statement is less it)
 *       taken, pushed ──1.5 s──▶ back            └──500 ms──▶ the session is suspended until it states its room
 * ```
 */
import type { ModelRoom } from "../contract/channel.ts";
import { versionKey } from "./types.ts";

export const holdKinds = ["reserved", "taken", "pushed", "granted"] as const;
export type HoldKind = (typeof holdKinds)[number];

/** How long a hold of each kind stands. */
export type HoldLimits = Record<HoldKind, number>;

/** Grants that were acknowledged before their shards told of them: remembered for so long, and so many. */
const EARLY_MS = 10_000;
const MAX_EARLY = 10_000;
/** Sessions of a version that are compared to find the one with most room. */
const MAX_COMPARED = 32;

export type Credit = {
  room: number;
  startNow: number;
  readyInMs: number | null;
  problem: string | null;
  /** Holds against this version. */
  held: number;
  /** Since when there is room, without a break; null: there is none. */
  roomSince: number | null;
  /**
   * How much of the session the version had, over what waited for it: the least is next where several want the same
   * room.
   */
  tag: number;
  /** Where the session is among those that serve the version. */
  index: number;
};

export type Hold = {
  id: string;
  session: Session;
  key: string;
  kind: HoldKind;
  at: number;
  isPolled: boolean;
  isLate: boolean;
};

export type Session = {
  name: string;
  /** Number of its last statement; null: not heard since the lane's start. */
  n: number | null;
  isSuspended: boolean;
  /** When it was asked for its room last, and how often in vain. */
  askedAt: number;
  asked: number;
  polledAt: number;
  nudgedAt: number;
  /** Its last poll brought something: it polls again by itself. */
  isPolling: boolean;
  credits: Map<string, Credit>;
  holds: Map<string, Hold>;
  maxRoom: number;
  maxStartNow: number;
  /** The smallest of its credits' tags that is in use. */
  virtual: number;
};

/** The sessions that serve one version; `problems`: how many of them can't set it up. */
export type Serving = { sessions: Session[]; cursor: number; exhaustedAt: number; problems: number };

export class CreditBook {
  readonly sessions = new Map<string, Session>();
  /** Those whose room isn't known: not heard since the lane's start, or suspended. */
  readonly unknown = new Set<Session>();
  readonly #limits: HoldLimits;
  readonly #serving = new Map<string, Serving>();
  readonly #holds: Record<HoldKind, Map<string, Hold>> = {
    reserved: new Map(),
    taken: new Map(),
    pushed: new Map(),
    granted: new Map(),
  };
  readonly #late = new Map<string, Hold>();
  readonly #early = new Map<string, number>();
  /** Grows whenever there may be more credit than before. */
  #changes = 0;

  constructor(limits: HoldLimits) {
    this.#limits = limits;
  }

  /** The session, made if it is new. */
  session(name: string): Session {
    const known = this.sessions.get(name);
    if (known !== undefined) return known;
    const session: Session = {
      name,
      n: null,
      isSuspended: false,
      askedAt: -Infinity,
      asked: 0,
      polledAt: -Infinity,
      nudgedAt: -Infinity,
      isPolling: false,
      credits: new Map(),
      holds: new Map(),
      maxRoom: 0,
      maxStartNow: 0,
      virtual: 0,
    };
    this.sessions.set(name, session);
    this.unknown.add(session);
    return session;
  }

  /** The rooms of a statement. Answers whether it was news; an older one than the last changes nothing. */
  tell(session: Session, n: number, full: boolean, models: readonly ModelRoom[], now: number): boolean {
    if (session.n !== null && n <= session.n) return false;
    session.n = n;
    session.isSuspended = false;
    session.asked = 0;
    this.unknown.delete(session);
    for (const hold of session.holds.values()) if (hold.isLate) this.#drop(hold, now);
    const named = new Set<string>();
    for (const one of models) {
      const key = versionKey(one);
      named.add(key);
      const credit = this.#credit(session, key);
      credit.room = one.room;
      credit.startNow = one.startNow;
      credit.readyInMs = one.readyInMs;
      this.#setProblem(key, credit, one.problem);
    }
    if (full) for (const key of session.credits.keys()) if (!named.has(key)) this.#remove(session, key);
    this.#measure(session, now);
    return true;
  }

  /**
   * The rooms that came with a poll. What earlier polls took has arrived by then, or never will; so has what is late.
   */
  polled(session: Session, rooms: ReadonlyMap<string, { room: number; startNow: number }>, now: number): void {
    for (const hold of session.holds.values())
      if (hold.kind === "taken" || hold.isPolled || hold.isLate) this.#drop(hold, now);
    for (const [key, credit] of session.credits) {
      if (rooms.has(key)) continue;
      credit.room = 0;
      credit.startNow = 0;
    }
    for (const [key, { room, startNow }] of rooms) {
      const credit = this.#credit(session, key);
      credit.room = room;
      credit.startNow = startNow;
    }
    this.#measure(session, now);
  }

  /** Room that the session has for a version by a poll's or a statement's word, whether it is suspended or not. */
  rawRoom(session: Session, key: string): number {
    const credit = session.credits.get(key);
    if (credit === undefined) return 0;
    return Math.max(0, credit.room - credit.held);
  }

  /**
   * How many more of a version may be handed to a session unasked. A device that several versions share is told with
   * each of them, so that the session's holds together may not pass what it told for any one.
   */
  room(session: Session, key: string): number {
    const credit = session.credits.get(key);
    if (credit === undefined || session.isSuspended) return 0;
    return Math.max(0, Math.min(credit.room - credit.held, session.maxRoom - session.holds.size));
  }

  /** The same of what starts at once. */
  startNow(session: Session, key: string): number {
    const credit = session.credits.get(key);
    if (credit === undefined || session.isSuspended) return 0;
    return Math.max(0, Math.min(credit.startNow - credit.held, session.maxStartNow - session.holds.size));
  }

  /**
   * The session that starts one of this version at once and has most room for more, of 32 that are looked at in turn;
   * null where nobody has.
   */
  bestToStart(key: string): Session | null {
    const serving = this.#serving.get(key);
    if (serving === undefined || serving.exhaustedAt === this.#changes) return null;
    const { sessions } = serving;
    let best: Session | null = null;
    let most = 0;
    for (let looked = 0; looked < sessions.length; looked += 1) {
      if (best !== null && looked >= MAX_COMPARED) break;
      const session = sessions[(serving.cursor + looked) % sessions.length];
      if (session === undefined) continue;
      const free = this.startNow(session, key);
      if (free <= most) continue;
      most = free;
      best = session;
    }
    serving.cursor = (serving.cursor + 1) % Math.max(1, sessions.length);
    if (best === null) serving.exhaustedAt = this.#changes;
    return best;
  }

  /** Sessions that serve a version, with room or without. */
  serving(key: string): readonly Session[] {
    return this.#serving.get(key)?.sessions ?? [];
  }

  /** How many of these sessions can't set the version up. */
  problems(key: string): number {
    return this.#serving.get(key)?.problems ?? 0;
  }

  /** The grant, or the way to it, takes of the session's room until the pool has acknowledged it. */
  hold(id: string, session: Session, key: string, kind: HoldKind, now: number): void {
    const known = session.holds.get(id);
    const before = this.#find(id);
    if (kind === "granted" && this.#early.delete(id)) {
      if (before !== undefined) this.#drop(before, now);
      return;
    }
    // A reservation's time runs on when it becomes a grant.
    const at = known?.kind === "reserved" ? known.at : now;
    const isPolled = known !== undefined && (known.kind === "taken" || known.isPolled);
    if (before !== undefined) this.#drop(before, now);
    const hold: Hold = { id, session, key, kind, at, isPolled, isLate: false };
    const credit = this.#credit(session, key);
    credit.held += 1;
    session.holds.set(id, hold);
    this.#holds[kind].set(id, hold);
    note(credit, now);
  }

  /** The pool has these. */
  seen(session: Session, ids: readonly string[], now: number): void {
    for (const id of ids) {
      const hold = this.#find(id);
      if (hold !== undefined && hold.session === session) {
        const { kind } = hold;
        this.#drop(hold, now);
        if (kind === "granted") continue;
      }
      this.#early.delete(id);
      this.#early.set(id, now);
    }
    for (const [id, at] of this.#early) {
      if (now - at < EARLY_MS && this.#early.size <= MAX_EARLY) break;
      this.#early.delete(id);
    }
  }

  /** Gives the credit back. */
  release(id: string, now: number): void {
    const hold = this.#find(id);
    if (hold !== undefined) this.#drop(hold, now);
  }

  /**
   * Holds that came to nothing by now, and gives their credit back; suspends sessions whose grants aren't acknowledged.
   */
  expire(now: number): Hold[] {
    const over: Hold[] = [];
    for (const kind of holdKinds) {
      for (const hold of this.#holds[kind].values()) {
        if (now - hold.at < this.#limits[kind]) break;
        if (kind === "granted") {
          hold.isLate = true;
          this.#holds.granted.delete(hold.id);
          this.#late.set(hold.id, hold);
          hold.session.isSuspended = true;
          this.unknown.add(hold.session);
          continue;
        }
        over.push(hold);
        this.#drop(hold, now);
      }
    }
    return over;
  }

  /** When `expire` will have something to do; null: never. */
  nextExpiry(): number | null {
    let next: number | null = null;
    for (const kind of holdKinds) {
      for (const hold of this.#holds[kind].values()) {
        next = Math.min(next ?? Infinity, hold.at + this.#limits[kind]);
        break;
      }
    }
    return next;
  }

  /** Whether every session has stated its room, or was asked for it `often` in vain. */
  allHeard(often: number): boolean {
    for (const { n, asked } of this.unknown) if (n === null && asked < often) return false;
    return true;
  }

  gone(name: string): void {
    const session = this.sessions.get(name);
    if (session === undefined) return;
    for (const hold of session.holds.values()) this.#drop(hold, 0);
    for (const key of session.credits.keys()) this.#remove(session, key);
    this.sessions.delete(name);
    this.unknown.delete(session);
  }

  heldCount(): number {
    let count = this.#late.size;
    for (const kind of holdKinds) count += this.#holds[kind].size;
    return count;
  }

  #find(id: string): Hold | undefined {
    for (const kind of holdKinds) {
      const hold = this.#holds[kind].get(id);
      if (hold !== undefined) return hold;
    }
    return this.#late.get(id);
  }

  #drop(hold: Hold, now: number): void {
    const { id, session, key, kind } = hold;
    session.holds.delete(id);
    if (hold.isLate) this.#late.delete(id);
    else this.#holds[kind].delete(id);
    const credit = session.credits.get(key);
    if (credit !== undefined) {
      credit.held -= 1;
      note(credit, now);
    }
    this.#changes += 1;
  }

  #credit(session: Session, key: string): Credit {
    const known = session.credits.get(key);
    if (known !== undefined) return known;
    const serving = this.#serving.get(key) ?? { sessions: [], cursor: 0, exhaustedAt: -1, problems: 0 };
    this.#serving.set(key, serving);
    let held = 0;
    for (const hold of session.holds.values()) if (hold.key === key) held += 1;
    const credit: Credit = {
      room: 0,
      startNow: 0,
      readyInMs: null,
      problem: null,
      held,
      roomSince: null,
      tag: 0,
      index: serving.sessions.length,
    };
    serving.sessions.push(session);
    session.credits.set(key, credit);
    return credit;
  }

  #remove(session: Session, key: string): void {
    const serving = this.#serving.get(key);
    const credit = session.credits.get(key);
    if (serving === undefined || credit === undefined) return;
    session.credits.delete(key);
    this.#setProblem(key, credit, null);
    const last = serving.sessions.pop();
    if (last !== undefined && last !== session) {
      serving.sessions[credit.index] = last;
      const moved = last.credits.get(key);
      if (moved !== undefined) moved.index = credit.index;
    }
    if (serving.sessions.length === 0) this.#serving.delete(key);
  }

  #setProblem(key: string, credit: Credit, problem: string | null): void {
    const serving = this.#serving.get(key);
    if (serving !== undefined) serving.problems += Number(problem !== null) - Number(credit.problem !== null);
    credit.problem = problem;
  }

  #measure(session: Session, now: number): void {
    session.maxRoom = 0;
    session.maxStartNow = 0;
    for (const { room, startNow } of session.credits.values()) {
      session.maxRoom = Math.max(session.maxRoom, room);
      session.maxStartNow = Math.max(session.maxStartNow, startNow);
    }
    this.#changes += 1;
    for (const credit of session.credits.values()) note(credit, now);
  }
}

/** Notes since when there is room. */
function note(credit: Credit, now: number): void {
  credit.roomSince = credit.room > credit.held ? (credit.roomSince ?? now) : null;
}
