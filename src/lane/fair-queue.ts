/**
 * Fair order by GPU time: hierarchical start-time fair queueing (Goyal, Vin, Cheng 1996), with charges that are settled
 * later (VTC, arXiv 2401.00588). Pure.
 *
 * A node is one version of a model. In it priorities share by weight, and in each priority accounts share by theirs. A
 * flow is what one account has waiting of one priority and version; its tag is the virtual time, in milliseconds of a
 * device over weight, at which it is served next. The smallest tag is first. A pick is charged with an estimate; the
 * difference to what the run really took is added when it is known, and may be negative.
 *
 * Who returns from idle begins at the virtual time, which is the start tag of the latest pick: idleness earns nothing.
 * An account that is served on one version pays on its other open versions too, so that it has one share and not one a
 * version. Versions that are closed (no room, nothing in flight) aren't charged, and their tags stand still: time in
 * which there was nothing to have earns nothing and costs nothing.
 */
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";
import { IndexedHeap } from "./heap.ts";

export const priorityWeights: Readonly<Record<Priority, number>> = { high: 6, normal: 3, low: 1 };

/** Of an account's other versions, at most so many are charged with a pick. */
const MAX_SHARED_CHARGES = 16;
/**
 * Flows that wait for nothing and are kept for what they owe; beyond that the one that has been idle longest starts
 * anew.
 */
const MAX_IDLE_FLOWS = 10_000;
/**
 * What sets flows with equal tags apart: the order in which they came. Milliseconds of virtual time, below any real
 * charge.
 */
const TIE_STEP = 1e-6;
const TIES = 100_000;

export type FairFlow = {
  readonly account: string;
  readonly priority: Priority;
  readonly node: FairNode;
  weight: number;
  tag: number;
  /** How many entries wait, those included that are picked and not yet granted. */
  rows: number;
  /** How many of them may be picked. */
  backlog: number;
  heapIndex: number;
};

export type FairNode = {
  readonly key: string;
  readonly inner: Record<Priority, { heap: IndexedHeap<FairFlow>; virtual: number }>;
  readonly tags: Record<Priority, number>;
  virtual: number;
  /** Flows that exist, idle ones too. */
  flows: number;
};

const isBefore = (a: FairFlow, b: FairFlow): boolean => a.tag < b.tag;

export class FairQueue<F extends FairFlow> {
  readonly #makeFlow: (fair: FairFlow) => F;
  readonly #onForget: (flow: F) => void;
  readonly #isOpen: (node: FairNode) => boolean;
  readonly #accounts = new Map<string, Set<F>>();
  readonly #idle = new Set<F>();
  #ties = 0;

  /**
   * `extend` makes the caller's flow of a new one (the same object, with more on it); `forgotten` hears of each that is
   * dropped; `isOpen` says whether there is anything to have in a node: room, or runs that will end.
   */
  constructor(extend: (fair: FairFlow) => F, forgotten: (flow: F) => void, isOpen: (node: FairNode) => boolean) {
    this.#makeFlow = extend;
    this.#onForget = forgotten;
    this.#isOpen = isOpen;
  }

  createNode(key: string): FairNode {
    const inner = () => ({ heap: new IndexedHeap<FairFlow>(isBefore), virtual: 0 });
    return {
      key,
      inner: { high: inner(), normal: inner(), low: inner() },
      tags: { high: 0, normal: 0, low: 0 },
      virtual: 0,
      flows: 0,
    };
  }

  /** A new flow, idle. `tag`: what it had when it was stored. */
  createFlow(node: FairNode, account: string, priority: Priority, weight: number, tag = 0): F {
    const flow = this.#makeFlow({ account, priority, node, weight, tag, rows: 0, backlog: 0, heapIndex: -1 });
    node.flows += 1;
    this.#idle.add(flow);
    this.#trimIdle();
    return flow;
  }

  /** How many entries of the flow may be picked now. */
  setBacklog(flow: F, backlog: number): void {
    const wasIdle = flow.backlog === 0;
    flow.backlog = backlog;
    if (wasIdle && backlog > 0) this.#join(flow);
    else if (!wasIdle && backlog === 0) this.#leave(flow);
  }

  /** The flow whose entry is next in this version. */
  next(node: FairNode): F | null {
    let best: Priority | null = null;
    for (const priority of priorities) {
      if (node.inner[priority].heap.size === 0) continue;
      if (best === null || node.tags[priority] < node.tags[best]) best = priority;
    }
    if (best === null) return null;
    // Only flows that `#makeFlow` made are in heaps.
    return (node.inner[best].heap.first() ?? null) as F | null;
  }

  /** The flow is served: it pays `ms` now. Also for who is served without having waited. */
  charge(flow: F, ms: number): void {
    const { node, priority } = flow;
    const inner = node.inner[priority];
    if (flow.backlog === 0) flow.tag = Math.max(flow.tag, inner.virtual);
    if (inner.heap.size === 0) node.tags[priority] = Math.max(node.tags[priority], node.virtual);
    inner.virtual = Math.max(inner.virtual, flow.tag);
    node.virtual = Math.max(node.virtual, node.tags[priority]);
    this.settle(flow, ms);
  }

  /**
   * Adds `ms`, which may be negative, to what the flow has paid: what a run took more or less than was charged, or a
   * pick that came to nothing.
   */
  settle(flow: F, ms: number): void {
    const { node, priority, account } = flow;
    node.tags[priority] += ms / priorityWeights[priority];
    this.#move(flow, ms);
    const others = this.#accounts.get(groupOf(account, priority));
    if (others === undefined) return;
    let charged = 0;
    for (const other of others) {
      if (other === flow || !this.#isOpen(other.node)) continue;
      this.#move(other, ms);
      charged += 1;
      if (charged === MAX_SHARED_CHARGES) break;
    }
  }

  idleFlows(): number {
    return this.#idle.size;
  }

  /** Drops idle flows that owe nothing any more, of `limit` looked at. */
  forgetSettled(limit: number): void {
    let looked = 0;
    for (const flow of this.#idle) {
      if (looked === limit) return;
      looked += 1;
      if (flow.rows === 0 && flow.tag <= flow.node.inner[flow.priority].virtual) this.#forget(flow);
      else {
        this.#idle.delete(flow);
        this.#idle.add(flow);
      }
    }
  }

  #move(flow: F, ms: number): void {
    flow.tag += ms / flow.weight;
    flow.node.inner[flow.priority].heap.moved(flow);
  }

  #join(flow: F): void {
    const { node, priority, account } = flow;
    const inner = node.inner[priority];
    this.#ties = (this.#ties + 1) % TIES;
    flow.tag = Math.max(flow.tag, inner.virtual) + this.#ties * TIE_STEP;
    if (inner.heap.size === 0) node.tags[priority] = Math.max(node.tags[priority], node.virtual);
    inner.heap.add(flow);
    this.#idle.delete(flow);
    const key = groupOf(account, priority);
    const group = this.#accounts.get(key);
    if (group === undefined) this.#accounts.set(key, new Set([flow]));
    else group.add(flow);
  }

  #leave(flow: F): void {
    flow.node.inner[flow.priority].heap.remove(flow);
    const key = groupOf(flow.account, flow.priority);
    const group = this.#accounts.get(key);
    group?.delete(flow);
    if (group?.size === 0) this.#accounts.delete(key);
    this.#idle.add(flow);
    this.#trimIdle();
  }

  #trimIdle(): void {
    if (this.#idle.size <= MAX_IDLE_FLOWS) return;
    this.forgetSettled(16);
    for (const flow of this.#idle) {
      if (this.#idle.size <= MAX_IDLE_FLOWS) return;
      if (flow.rows > 0) continue;
      this.#forget(flow);
      return;
    }
  }

  #forget(flow: F): void {
    this.#idle.delete(flow);
    flow.node.flows -= 1;
    this.#onForget(flow);
  }
}

function groupOf(account: string, priority: Priority): string {
  return `${priority} ${account}`;
}
