/**
 * What waits in a lane: rows in fair order, of which only the heads are in memory. A picked entry is marked until its
 * shard has granted it or the mark is taken back; its row stays until then.
 *
 * Memory: a flow keeps counts and a window of its next entries, 64 at most and fewer where there are many flows; the
 * windows are read again as they run dry.
 */
import type { Priority } from "../contract/prediction.ts";
import type { Sql } from "../shard/sql.ts";
import { FairQueue } from "./fair-queue.ts";
import type { FairFlow, FairNode } from "./fair-queue.ts";
import { oldest } from "./peek.ts";
import { createRows } from "./rows.ts";
import type { Rows, RowKey, Waiting } from "./rows.ts";
import { accountKey } from "./types.ts";
import type { EntryRef, LaneEntry, Served, Ticket } from "./types.ts";

const MAX_WINDOW = 64;
/** Entries in all windows together, besides the first of each flow. */
const MAX_LOADED = 8192;
/** How far an entry that comes out of order is counted back from the end. */
const MAX_COUNTED = 1000;

export type Flow = FairFlow & {
  flow: number;
  model: string;
  version: string;
  marked: number;
  window: Waiting[];
  /** Everything up to here is in the window or marked. */
  readTo: { createdAt: number; id: string };
  /** The newest row; null: not known since the lane's start. */
  last: { createdAt: number; id: string } | null;
  nextIndex: number;
  nextUpTo: number;
  /** How far it was served: the index of its next entry. Falls only when entries come back that were handed over. */
  servedIndex: number;
  servedUpTo: number;
  /** What its runs take a unit of cost; null before the first has ended. */
  meanMs: number | null;
  runs: number;
  /** What is picked, reserved or granted and hasn't ended: what it was charged, and what it costs. */
  pending: { ms: number; cost: number };
};

export type NodeOf = (model: string, version: string) => FairNode;

export type Mark<T> = { flow: Flow; waiting: Waiting; about: T };

const START = { createdAt: -1, id: "" };

/** `T`: what the caller remembers of an entry that it picked. */
export class Backlog<T extends { chargedMs: number }> {
  readonly fair: FairQueue<Flow>;
  readonly marks = new Map<string, Mark<T>>();
  readonly rows: Rows;
  readonly #flows = new Map<string, Flow>();
  readonly #nodeOf: NodeOf;
  readonly #changed: (flow: Flow, rows: number, available: number) => void;
  #nextFlow = 1;
  /** Flows for which something waits. */
  #busy = 0;
  /** Entries in windows. */
  #inWindows = 0;

  /**
   * `changed` hears how many more of a flow's entries there are, and how many more of them may be picked; either may be
   * negative.
   */
  constructor(
    sql: Sql,
    isOpen: (node: FairNode) => boolean,
    nodeOf: NodeOf,
    changed: (flow: Flow, rows: number, available: number) => void,
  ) {
    this.rows = createRows(sql);
    this.#nodeOf = nodeOf;
    this.#changed = changed;
    this.fair = new FairQueue<Flow>(
      (fair) => this.#extend(fair),
      (flow) => this.#flows.delete(accountKey(flow)),
      isOpen,
    );
  }

  /** Reads what is stored of flows. */
  start(): void {
    for (const row of this.rows.flows()) {
      const { flow: number, account, priority, model, version, weight, waiting, tag } = row;
      const flow = this.fair.createFlow(this.#nodeOf(model, version), account, priority, weight, tag);
      Object.assign(flow, { flow: number, model, version, nextIndex: row.nextIndex, nextUpTo: row.nextUpTo });
      flow.last = null;
      this.#flows.set(accountKey(flow), flow);
      this.#nextFlow = Math.max(this.#nextFlow, number + 1);
      this.#count(flow, waiting);
    }
  }

  find(ref: Omit<EntryRef, "id" | "createdAt">): Flow | undefined {
    return this.#flows.get(accountKey(ref));
  }

  /** The flow of an entry, made if there is none. */
  flowOf(entry: Omit<LaneEntry, "id" | "createdAt" | "startBy" | "cost" | "traceparent">): Flow {
    const known = this.find(entry);
    if (known !== undefined) {
      known.weight = entry.weight;
      return known;
    }
    const { account, priority, weight, model, version } = entry;
    const flow = this.fair.createFlow(this.#nodeOf(model, version), account, priority, weight);
    Object.assign(flow, { flow: this.#nextFlow, model, version });
    this.#nextFlow += 1;
    this.#flows.set(accountKey(flow), flow);
    return flow;
  }

  /** Stores what isn't there yet. */
  offer(entries: readonly LaneEntry[]): Record<string, Ticket> {
    const tickets: Record<string, Ticket> = {};
    const places = [...new Map(entries.map((entry) => [entry.id, entry])).values()].map((entry) => ({
      entry,
      flow: this.flowOf(entry),
    }));
    const stored = this.rows.find(
      places
        .filter(({ flow }) => flow.rows > 0)
        .map(({ entry, flow }) => ({ flow: flow.flow, createdAt: entry.createdAt, id: entry.id })),
    );
    for (const { id, ownIndex, upTo } of stored.values()) tickets[id] = { ownIndex, upTo };
    const added = places
      .filter(({ entry }) => !stored.has(entry.id))
      .toSorted((a, b) => (isBefore(a.entry, b.entry) ? -1 : 1));
    // Each is numbered as one that comes after those that are numbered: new ones oldest first, and what comes back
    // latest first.
    const isBack = ({ entry, flow }: (typeof added)[number]): boolean => isBefore(entry, flow.readTo);
    const inTurn = [...added.filter(isBack).toReversed(), ...added.filter((one) => !isBack(one))];
    for (const flow of new Set(added.map((one) => one.flow))) this.#noteHead(flow);
    const rows = inTurn.map(({ entry, flow }) => ({ of: flow, row: this.#rowOf(flow, entry) }));
    this.rows.insert(rows.map(({ of, row }) => ({ ...row, flow: of.flow })));
    for (const { of, row } of rows) {
      tickets[row.id] = { ownIndex: row.ownIndex, upTo: row.upTo };
      this.#place(of, row);
      this.#count(of, 1);
    }
    this.#save(new Set(rows.map(({ of }) => of)));
    return tickets;
  }

  /** Takes rows out. Answers the ids of those that were there. */
  remove(refs: readonly EntryRef[]): Set<string> {
    const keys: (RowKey & { of: Flow })[] = [];
    for (const ref of refs) {
      const flow = this.find(ref);
      if (flow !== undefined && flow.rows > 0)
        keys.push({ of: flow, flow: flow.flow, createdAt: ref.createdAt, id: ref.id });
    }
    if (keys.length === 0) return new Set();
    const removed = this.rows.remove(keys);
    // News may name one twice: it was granted, handed back, and granted again.
    const uncounted = new Set(removed);
    const touched = new Set<Flow>();
    for (const key of keys) {
      const { of: flow } = key;
      if (!uncounted.delete(key.id)) continue;
      touched.add(flow);
      const mark = this.marks.get(key.id);
      if (mark !== undefined) this.#unmark(key.id, mark);
      const index = flow.window.findIndex(({ id }) => id === key.id);
      const [waiting] = index < 0 ? [] : flow.window.splice(index, 1);
      if (index >= 0) this.#inWindows -= 1;
      this.#serve(flow, mark?.waiting ?? (index === 0 ? waiting : undefined));
      this.#count(flow, -1);
    }
    this.#save(touched);
    return removed;
  }

  /**
   * Takes the next entry of a version, which leaves the order until it is unmarked. The caller charges the flow first.
   */
  pick(flow: Flow, about: T): { entry: LaneEntry; waiting: Waiting } | null {
    const waiting = this.head(flow);
    if (waiting === null) return null;
    flow.window.shift();
    this.#inWindows -= 1;
    this.marks.set(waiting.id, { flow, waiting, about });
    flow.marked += 1;
    notePending(flow, about.chargedMs, waiting.cost);
    this.#refresh(flow);
    return { entry: entryOf(flow, waiting), waiting };
  }

  /** The next entry of a flow that may be picked. */
  head(flow: Flow): Waiting | null {
    this.#load(flow);
    return flow.window[0] ?? null;
  }

  /** A marked entry takes its place again. */
  unmark(id: string): Mark<T> | undefined {
    const mark = this.marks.get(id);
    if (mark === undefined) return undefined;
    this.#unmark(id, mark);
    this.#insertInWindow(mark.flow, mark.waiting);
    this.#refresh(mark.flow);
    return mark;
  }

  /** How far a flow was served. */
  servedOf(flow: Flow, msPerCost: number): Served {
    this.#noteHead(flow);
    return { ownIndex: flow.servedIndex, upTo: flow.servedUpTo, tag: dueTag(flow, msPerCost), msPerCost };
  }

  /** What waits of one priority, oldest first. */
  peek(priority: Priority, offset: number, limit: number): LaneEntry[] {
    const flows = [...this.#flows.values()].filter((flow) => flow.priority === priority && flow.rows > 0);
    return oldest(this.rows, flows, offset, limit).map(({ flow, waiting }) => entryOf(flow, waiting));
  }

  flows(): Iterable<Flow> {
    return this.#flows.values();
  }

  /** Entries in memory. */
  loaded(): number {
    return this.marks.size + this.#inWindows;
  }

  #extend(fair: FairFlow): Flow {
    return Object.assign(fair, {
      flow: 0,
      model: "",
      version: "",
      marked: 0,
      window: [],
      readTo: START,
      last: START,
      nextIndex: 0,
      nextUpTo: 0,
      servedIndex: 0,
      servedUpTo: 0,
      meanMs: null,
      runs: 0,
      pending: { ms: 0, cost: 0 },
    });
  }

  /** The row of a new entry, numbered at its place among the flow's own. */
  #rowOf(flow: Flow, { id, createdAt, startBy, cost, traceparent, weight }: LaneEntry): Waiting {
    flow.last ??= this.rows.last(flow.flow) ?? START;
    const key = { createdAt, id };
    const after = isBefore(key, flow.last) ? this.rows.countAfter(flow.flow, key, MAX_COUNTED) : 0;
    const step = cost / weight;
    const row = { id, createdAt, startBy, cost, traceparent };
    if (after > 0 && isBefore(key, flow.readTo)) {
      const before = flow.window.filter((waiting) => isBefore(waiting, key)).length;
      if (before < after) return { ...row, ...this.#numbersAtHead(flow, before, step) };
    }
    const ownIndex = Math.max(flow.servedIndex, flow.nextIndex - after);
    const upTo = Math.max(flow.servedUpTo, flow.nextUpTo - after * step);
    flow.nextIndex += 1;
    flow.nextUpTo += step;
    return { ...row, ownIndex, upTo };
  }

  /**
   * The numbers of an entry that comes back to the head after `before` others: all that wait behind it have one more
   * ahead.
   */
  #numbersAtHead(flow: Flow, before: number, step: number): Pick<Waiting, "ownIndex" | "upTo"> {
    flow.servedIndex -= 1;
    flow.servedUpTo -= step;
    return { ownIndex: flow.servedIndex + before, upTo: flow.servedUpTo + before * step };
  }

  /** Remembers how far the flow was served, so that a pick which is taken back sets nobody back. */
  #noteHead(flow: Flow): void {
    const head = flow.backlog > 0 ? this.head(flow) : null;
    if (head === null || head.ownIndex <= flow.servedIndex) return;
    flow.servedIndex = head.ownIndex;
    flow.servedUpTo = head.upTo;
  }

  #place(flow: Flow, row: Waiting): void {
    const hasAllRead = flow.rows === flow.marked + flow.window.length;
    if (flow.last === null || isBefore(flow.last, row)) flow.last = { createdAt: row.createdAt, id: row.id };
    if (isBefore(row, flow.readTo)) this.#insertInWindow(flow, row);
    else if (hasAllRead && this.#mayLoad(flow)) {
      flow.window.push(row);
      this.#inWindows += 1;
      flow.readTo = { createdAt: row.createdAt, id: row.id };
    }
  }

  #insertInWindow(flow: Flow, row: Waiting): void {
    const { window } = flow;
    let index = 0;
    while (index < window.length && isBefore(window[index] ?? row, row)) index += 1;
    window.splice(index, 0, row);
    this.#inWindows += 1;
    if (window.length <= 2 * MAX_WINDOW) return;
    this.#inWindows -= window.length - MAX_WINDOW;
    window.length = MAX_WINDOW;
    const end = window.at(-1);
    if (end !== undefined) flow.readTo = { createdAt: end.createdAt, id: end.id };
  }

  #load(flow: Flow): void {
    while (flow.window.length === 0 && flow.backlog > 0) {
      const size = this.#windowSize();
      const rows = this.rows.read(flow.flow, flow.readTo, size);
      const end = rows.at(-1);
      if (end === undefined) {
        // The counts say that something waits, and nothing does.
        this.#count(flow, flow.marked - flow.rows);
        return;
      }
      flow.readTo = { createdAt: end.createdAt, id: end.id };
      flow.window = rows.filter(({ id }) => !this.marks.has(id));
      this.#inWindows += flow.window.length;
    }
  }

  /** A flow's first always is in memory, the others while there is room. */
  #mayLoad({ window }: Flow): boolean {
    return window.length === 0 || (window.length < MAX_WINDOW && this.#inWindows < MAX_LOADED);
  }

  #windowSize(): number {
    return Math.max(1, Math.min(MAX_WINDOW, Math.floor(MAX_LOADED / Math.max(1, this.#busy))));
  }

  #unmark(id: string, mark: Mark<T>): void {
    this.marks.delete(id);
    mark.flow.marked -= 1;
    notePending(mark.flow, -mark.about.chargedMs, -mark.waiting.cost);
  }

  /**
   * An entry of the flow went; `waiting` if it was at the head. While others wait, the next of them tells how far the
   * flow is.
   */
  #serve(flow: Flow, waiting: Waiting | undefined): void {
    if (flow.backlog > 0 || waiting === undefined || waiting.ownIndex < flow.servedIndex) return;
    flow.servedIndex = waiting.ownIndex + 1;
    flow.servedUpTo = waiting.upTo + waiting.cost / flow.weight;
  }

  #count(flow: Flow, change: number): void {
    const wasBusy = flow.rows > 0;
    flow.rows += change;
    if (flow.rows > 0 !== wasBusy) this.#busy += flow.rows > 0 ? 1 : -1;
    if (flow.rows === 0) flow.readTo = START;
    if (flow.rows === 0) flow.last = START;
    this.#refresh(flow, change);
  }

  #refresh(flow: Flow, rows = 0): void {
    const before = flow.backlog;
    this.fair.setBacklog(flow, Math.max(0, flow.rows - flow.marked));
    this.#changed(flow, rows, flow.backlog - before);
  }

  #save(flows: Iterable<Flow>): void {
    this.rows.saveFlows([...flows].map((flow) => ({ ...pickRow(flow), waiting: flow.rows })));
  }
}

function pickRow({ flow, priority, account, model, version, weight, nextIndex, nextUpTo, tag }: Flow) {
  return { flow, priority, account, model, version, weight, nextIndex, nextUpTo, tag };
}

export function notePending({ pending }: Flow, ms: number, cost: number): void {
  pending.ms += ms;
  pending.cost += cost;
}

/** The virtual time at which the flow's next entry is due, once what is pending was settled at `msPerCost`. */
export function dueTag({ tag, weight, pending }: Flow, msPerCost: number): number {
  return tag - (pending.ms - pending.cost * msPerCost) / weight;
}

export function entryOf(flow: Flow, { id, createdAt, startBy, cost, traceparent }: Waiting): LaneEntry {
  const { account, weight, priority, model, version } = flow;
  return { id, account, weight, priority, cost, model, version, createdAt, startBy, traceparent };
}

function isBefore(a: { createdAt: number; id: string }, b: { createdAt: number; id: string }): boolean {
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id);
}
