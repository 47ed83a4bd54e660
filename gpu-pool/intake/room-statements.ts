/**
 * When a pool says what it has room for, and what it says. The lanes keep what they are told as credit, less what they
 * grant until they hear more: so a statement goes out at once when their view has become much too small, and otherwise
 * gathers what happened.
 *
 *   quiet ── grants, ends, other numbers ──▶ gathering ── due, or urgent ──▶ told (quiet)
 *   any ── the channel opens, or the edge asks ──▶ told in full
 */
import type { LaneRoom, ModelRoom, PoolMessage } from "../../src/contract/channel.ts";
import type { Clock } from "../scheduling/clock.ts";

/** Changed numbers and ends wait so long for company. */
const GATHER_MS = 20;
/** Grants are acknowledged at the latest after this time: the edge asks after 500 ms. */
const SEEN_WITHIN_MS = 100;
/** However urgent, statements keep this distance. */
const MIN_GAP_MS = 2;
/** A channel that breaks may have lost what was said so shortly before: it is said again. */
const REPEAT_MS = 20_000;
/** Of one statement, of each lane; and how many of these may be said again. */
const MAX_IDS = 10_000;
const MAX_REPEATED = 5000;

type Room = Extract<PoolMessage, { type: "room" }>;
type Ended = LaneRoom["ended"][number];

/** What the pool has room for now, by lane. `changesInMs`: when time alone makes it another. */
export type Rooms = { lanes: ReadonlyMap<string, readonly ModelRoom[]>; changesInMs: number };

/**
 * A grant that came, by whatever way. `lane` is null where the pool doesn't serve the model: then every lane is told.
 */
export type Received = { id: string; model: string; version: string; startNow: boolean; lane: string | null };

export type StatementsOptions = {
  clock: Clock;
  rooms(): Rooms;
  /** False when the channel is down: nobody was told. */
  send(message: Room): boolean;
};

/** What a lane believes of one model: what it was told, less what it granted since. */
type View = ModelRoom & { grants: number };
type LaneState = {
  views: Map<string, View>;
  seen: string[];
  ended: Ended[];
  said: { ended: Ended; atMs: number }[];
  held: Map<string, number>;
};

export class RoomStatements {
  readonly #options: StatementsOptions;
  readonly #lanes = new Map<string, LaneState>();
  #n = 0;
  #isOpen = false;
  #isLookDue = false;
  #sentAtMs = -Infinity;
  /** What waits to be told goes out at this time. */
  #dueAtMs = Infinity;
  #cancelTimer: () => void = () => {};

  constructor(options: StatementsOptions) {
    this.#options = options;
  }

  /** Grants have come. */
  received(grants: readonly Received[]): void {
    for (const { id, lane, model, version, startNow } of grants) {
      for (const state of this.#of(lane)) {
        state.seen.push(id);
        state.held.set(id, (state.held.get(id) ?? 0) + 1);
        const view = state.views.get(`${model} ${version}`);
        if (view === undefined) continue;
        view.grants += 1;
        view.room -= 1;
        if (startNow) view.startNow -= 1;
      }
    }
    this.#dueWithin(SEEN_WITHIN_MS);
    this.changed();
  }

  /** The pool no longer holds this one; it took `ms` of its device. */
  ended(id: string, lane: string | null, ms: number): void {
    for (const state of this.#of(lane)) {
      const left = (state.held.get(id) ?? 0) - 1;
      if (left > 0) state.held.set(id, left);
      else if (left === 0) {
        state.held.delete(id);
        state.ended.push({ id, ms });
      }
    }
    this.#dueWithin(GATHER_MS);
    this.changed();
  }

  /**
   * A poll of this lane says these rooms; what it left out the lane takes for none. What is returned is called when the
   * poll has its answer: a statement that left meanwhile may have overtaken it, and then the lane goes by the poll.
   */
  polled(lane: string, rooms: readonly ModelRoom[]): () => void {
    const said = new Map(rooms.map((room) => [keyOf(room), room]));
    const note = (least: (told: number, polled: number) => number) => {
      for (const [key, view] of this.#state(lane).views) {
        view.room = least(view.room, said.get(key)?.room ?? 0);
        view.startNow = least(view.startNow, said.get(key)?.startNow ?? 0);
      }
      this.changed();
    };
    note((_told, polled) => polled);
    return () => note(Math.min);
  }

  /** Anything may have changed: it is looked at once a turn of the event loop. */
  changed(): void {
    if (this.#isLookDue || !this.#isOpen) return;
    this.#isLookDue = true;
    queueMicrotask(() => {
      this.#isLookDue = false;
      this.#look();
    });
  }

  /** The channel is open, or the edge asks: everything, now. */
  tellAll(): void {
    this.#isOpen = true;
    this.#tell(this.#options.rooms(), true);
  }

  /** The channel is down. What was said last may be lost with it. */
  closed(): void {
    this.#isOpen = false;
    this.#cancelTimer();
  }

  #of(lane: string | null): Iterable<LaneState> {
    return lane === null ? this.#lanes.values() : [this.#state(lane)];
  }

  #dueWithin(ms: number): void {
    this.#dueAtMs = Math.min(this.#dueAtMs, this.#options.clock.nowMs() + ms);
  }

  #look(): void {
    if (!this.#isOpen) return;
    const rooms = this.#options.rooms();
    const nowMs = this.#options.clock.nowMs();
    for (const [lane, models] of rooms.lanes) {
      const { views } = this.#state(lane);
      for (const real of models) {
        const view = views.get(keyOf(real));
        if (isUrgent(real, view)) this.#dueAtMs = nowMs;
        else if (differs(real, view)) this.#dueWithin(GATHER_MS);
      }
    }
    const atMs = Math.max(this.#dueAtMs, this.#sentAtMs + MIN_GAP_MS);
    if (atMs <= nowMs) this.#tell(rooms, false);
    else this.#lookAgainIn(Math.min(atMs - nowMs, rooms.changesInMs));
  }

  #lookAgainIn(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = ms === Infinity ? () => {} : this.#options.clock.after(ms, () => this.#look());
  }

  #tell(rooms: Rooms, full: boolean): void {
    const nowMs = this.#options.clock.nowMs();
    const lanes = Array.from(rooms.lanes, ([lane, models]) => this.#laneRoom(lane, models, full, nowMs));
    const told = full
      ? lanes
      : lanes.filter(({ models, seen, ended }) => models.length + seen.length + ended.length > 0);
    this.#dueAtMs = Infinity;
    if (told.length > 0) {
      this.#n += 1;
      this.#sentAtMs = nowMs;
      if (!this.#options.send({ type: "room", n: this.#n, full, lanes: told })) return this.closed();
      for (const part of told) this.#note(part, rooms.lanes.get(part.lane) ?? [], nowMs, full);
    }
    this.#lookAgainIn(rooms.changesInMs);
  }

  #laneRoom(lane: string, models: readonly ModelRoom[], full: boolean, nowMs: number): LaneRoom {
    const state = this.#state(lane);
    const isNews = (real: ModelRoom): boolean => {
      const view = state.views.get(keyOf(real));
      return (view?.grants ?? 0) > 0 || differs(real, view);
    };
    state.said = state.said.filter(({ atMs }) => nowMs - atMs < REPEAT_MS).slice(-MAX_REPEATED);
    // One that came back has not ended.
    const repeated = full ? state.said.map(({ ended }) => ended).filter(({ id }) => !state.held.has(id)) : [];
    return {
      lane,
      models: full ? [...models] : models.filter(isNews),
      seen: state.seen.slice(0, MAX_IDS),
      ended: [...state.ended.slice(0, MAX_IDS - MAX_REPEATED), ...repeated],
    };
  }

  /** The lane was told. */
  #note({ lane, seen }: LaneRoom, models: readonly ModelRoom[], nowMs: number, full: boolean): void {
    const state = this.#state(lane);
    if (full) state.views.clear();
    state.seen.splice(0, seen.length);
    for (const ended of state.ended.splice(0, MAX_IDS - MAX_REPEATED)) state.said.push({ ended, atMs: nowMs });
    if (state.seen.length + state.ended.length > 0) this.#dueWithin(GATHER_MS);
    for (const real of models) state.views.set(keyOf(real), { ...real, grants: 0 });
  }

  #state(lane: string): LaneState {
    const known = this.#lanes.get(lane);
    if (known !== undefined) return known;
    const fresh: LaneState = { views: new Map(), seen: [], ended: [], said: [], held: new Map() };
    this.#lanes.set(lane, fresh);
    return fresh;
  }
}

function keyOf({ model, version }: ModelRoom): string {
  return `${model} ${version}`;
}

/** The lane's view is wrong in a way that leaves this pool idle, or sends it what it can't run. */
function isUrgent(real: ModelRoom, view: View | undefined): boolean {
  if (view === undefined) return true;
  if (isOther(real, view)) return true;
  if (isSpent(real.room, view.room) || isSpent(view.room, real.room) || isSpent(real.startNow, view.startNow))
    return true;
  return view.grants > 0 && (2 * view.room < real.room || 2 * view.startNow < real.startNow);
}

function isSpent(one: number, other: number): boolean {
  return one > 0 && other <= 0;
}

function isOther(real: ModelRoom, view: ModelRoom): boolean {
  if (real.pausedBy !== view.pausedBy) return true;
  return real.problem !== view.problem || (real.readyInMs === 0) !== (view.readyInMs === 0);
}

function differs(real: ModelRoom, view: View | undefined): boolean {
  return view === undefined || real.room !== view.room || real.startNow !== view.startNow || isOther(real, view);
}
