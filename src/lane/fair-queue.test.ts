/** The fair queue by itself: who is next, what a pick costs, and what is forgotten. */
import { describe, expect, it } from "vitest";
import type { Priority } from "../contract/prediction.ts";
import { FairQueue } from "./fair-queue.ts";
import type { FairFlow } from "./fair-queue.ts";

/** Tags of flows that joined differ by this much in the order in which they came. */
const TIE = 1e-6;

function setUp() {
  const closed = new Set<string>();
  const forgotten: string[] = [];
  const queue = new FairQueue<FairFlow>(
    (flow) => flow,
    ({ account }) => forgotten.push(account),
    ({ key }) => !closed.has(key),
  );
  const node = queue.createNode("v");
  const flow = (account: string, backlog = 0, priority: Priority = "normal", weight = 1, at = node): FairFlow => {
    const made = queue.createFlow(at, account, priority, weight);
    queue.setBacklog(made, backlog);
    return made;
  };
  /** Whom `count` picks of `ms` each go to. */
  const picks = (count: number, ms: number): string[] =>
    Array.from({ length: count }, () => {
      const next = queue.next(node);
      if (next === null) throw new Error("nobody waits");
      queue.charge(next, ms);
      return next.account;
    });
  return { queue, node, flow, picks, closed, forgotten };
}

describe("who is next", () => {
  it("is nobody where nobody waits", () => {
    const { queue, node, flow } = setUp();
    flow("idle");
    expect(queue.next(node)).toBeNull();
  });

  it("is who came first of equals, and then goes round", () => {
    const { flow, picks } = setUp();
    for (const account of ["a", "b", "c"]) flow(account, 9);
    expect(picks(6, 100)).toEqual(["a", "b", "c", "a", "b", "c"]);
  });

  it("is served by weight, and by the weights of priorities", () => {
    const { flow, picks } = setUp();
    flow("one", 9, "normal", 1);
    flow("two", 9, "normal", 2);
    expect(picks(9, 60).filter((account) => account === "two")).toHaveLength(6);
    const priorities = setUp();
    for (const priority of ["low", "normal", "high"] as const) priorities.flow(priority, 999, priority);
    const served = priorities.picks(100, 6);
    const counts = ["high", "normal", "low"].map((one) => served.filter((account) => account === one).length);
    expect(counts).toEqual([60, 30, 10]);
  });

  it("is who left no longer", () => {
    const { queue, flow, picks } = setUp();
    const gone = flow("gone", 3);
    flow("stays", 3);
    queue.setBacklog(gone, 2);
    expect(picks(1, 1)).toEqual(["gone"]);
    queue.setBacklog(gone, 0);
    expect(picks(2, 1)).toEqual(["stays", "stays"]);
  });
});

describe("idleness", () => {
  it("earns nothing: who comes begins where the latest pick began", () => {
    const { flow, picks } = setUp();
    flow("busy", 99);
    picks(10, 100);
    const late = flow("late", 99);
    expect(late.tag).toBeCloseTo(900, 3);
    expect(picks(3, 100)).toEqual(["late", "busy", "late"]);
  });

  it("of a priority earns nothing either", () => {
    const { node, flow, picks } = setUp();
    flow("normal", 99);
    picks(10, 30);
    flow("high", 99, "high");
    expect(node.tags.high).toBeCloseTo(90, 3);
    expect(picks(4, 60)).toEqual(["high", "high", "normal", "high"]);
  });

  it("costs nothing: what is owed stays as it is", () => {
    const { queue, flow, picks } = setUp();
    const owes = flow("owes", 1);
    flow("busy", 99);
    picks(1, 500);
    queue.setBacklog(owes, 0);
    picks(3, 100);
    queue.setBacklog(owes, 1);
    expect(owes.tag).toBeCloseTo(500, 3);
    expect(picks(4, 100)).toEqual(["busy", "busy", "busy", "owes"]);
  });
});

describe("a charge", () => {
  it("of who is served without having waited begins at the virtual time", () => {
    const { queue, node, flow, picks } = setUp();
    flow("busy", 99);
    picks(10, 100);
    const direct = flow("direct");
    queue.charge(direct, 50);
    expect(direct.tag).toBeCloseTo(950, 3);
    queue.charge(direct, 50);
    expect(direct.tag).toBeCloseTo(1000, 3);
    expect(node.inner.normal.virtual).toBeCloseTo(950, 3);
    expect(node.tags.normal).toBeCloseTo(1100 / 3, 3);
  });

  it("lifts nobody who waits, and no priority in which somebody does", () => {
    const { queue, node, flow, picks } = setUp();
    const [, cheap] = [flow("a", 99), flow("cheap", 99)];
    picks(6, 300);
    // Its runs took nothing, as it turned out.
    queue.settle(cheap, -900);
    expect([cheap.tag, node.tags.normal, node.virtual]).toEqual([expect.closeTo(0, 3), 300, 500]);
    queue.charge(cheap, 30);
    flow("another", 1);
    expect([cheap.tag, node.tags.normal]).toEqual([expect.closeTo(30, 3), 310]);
  });

  it("of a priority in which nobody waits begins at the version's virtual time", () => {
    const { queue, node, flow, picks } = setUp();
    flow("busy", 99);
    picks(10, 30);
    queue.charge(flow("direct", 0, "high"), 60);
    expect(node.virtual).toBeCloseTo(90, 3);
    expect(node.tags.high).toBeCloseTo(100, 3);
  });

  it("is settled by what the run took, in both directions", () => {
    const { queue, node, flow } = setUp();
    const one = flow("a", 9, "normal", 2);
    const other = flow("b", 9);
    queue.charge(one, 100);
    queue.settle(one, 60);
    expect([one.tag, node.tags.normal]).toEqual([expect.closeTo(80, 3), expect.closeTo(160 / 3, 3)]);
    queue.charge(other, 100);
    queue.settle(other, -70);
    // Cheaper than was thought: it is before the other again.
    expect(queue.next(node)).toBe(other);
    queue.settle(other, 70);
    expect(queue.next(node)).toBe(one);
  });

  it("counts on the account's other open versions, in its own priority and for itself alone", () => {
    const { queue, flow, closed } = setUp();
    const at = (account: string, key: string, priority: Priority = "normal", weight = 1) =>
      flow(account, 9, priority, weight, queue.createNode(key));
    const served = at("a", "served");
    const [open, shut, high, stranger] = [
      at("a", "open", "normal", 2),
      at("a", "shut"),
      at("a", "high", "high"),
      at("b", "open"),
    ];
    const idle = at("a", "idle");
    queue.setBacklog(idle, 0);
    closed.add("shut");
    const before = [open, shut, high, stranger, idle].map(({ tag }) => tag);
    queue.charge(served, 100);
    const paid = [open, shut, high, stranger, idle].map(({ tag }, index) => tag - (before[index] ?? 0));
    expect(paid.map(Math.round)).toEqual([50, 0, 0, 0, 0]);
    expect(Math.round(served.tag)).toBe(100);
    queue.charge(open, 10);
    expect(Math.round(served.tag)).toBe(110);
  });

  it("counts on sixteen other versions at most", () => {
    const { queue, flow } = setUp();
    const flows = Array.from({ length: 20 }, (_, index) =>
      flow("a", 1, "normal", 1, queue.createNode(`version ${index}`)),
    );
    const [first] = flows;
    if (first === undefined) throw new Error("no flow");
    queue.charge(first, 100);
    expect(flows.filter(({ tag }) => tag > 50)).toHaveLength(17);
  });
});

describe("who waits for nothing", () => {
  it("is kept while it owes something, or has entries, and forgotten then", () => {
    const { queue, node, flow, picks, forgotten } = setUp();
    const owes = flow("owes");
    queue.charge(owes, 500);
    flow("owes nothing");
    const granted = flow("has a pick under way");
    granted.rows = 1;
    const waits = flow("waits", 99);
    expect([queue.idleFlows(), node.flows]).toEqual([3, 4]);
    queue.forgetSettled(99);
    expect([forgotten, queue.idleFlows(), node.flows]).toEqual([["owes nothing"], 2, 3]);
    picks(9, 100);
    granted.rows = 0;
    queue.forgetSettled(99);
    expect([forgotten.slice(1).toSorted(), queue.idleFlows()]).toEqual([["has a pick under way", "owes"], 0]);
    queue.setBacklog(waits, 0);
    expect(queue.idleFlows()).toBe(1);
  });

  it("is looked at in turn, so many at a time", () => {
    const { queue, flow, forgotten } = setUp();
    const owe = ["a", "b"].map((account) => flow(account));
    for (const one of owe) queue.charge(one, 500);
    for (const account of ["c", "d"]) flow(account);
    queue.forgetSettled(2);
    expect(forgotten).toEqual([]);
    queue.forgetSettled(1);
    expect(forgotten).toEqual(["c"]);
    queue.forgetSettled(1);
    expect(forgotten).toEqual(["c", "d"]);
  });

  it("starts anew beyond 10,000, whoever has been idle longest first, but nobody with entries", () => {
    const { queue, flow, forgotten } = setUp();
    const leaves = flow("leaves", 1);
    for (let index = 0; index < 10_000; index += 1) {
      const one = flow(`${index}`);
      // Sixteen are looked at first for one that owes nothing; the next of the line is this one.
      if (index === 16) one.rows = 1;
      if (index !== 40) queue.charge(one, 500_000);
    }
    expect([queue.idleFlows(), forgotten]).toEqual([10_000, []]);
    queue.setBacklog(leaves, 0);
    expect([queue.idleFlows(), forgotten]).toEqual([10_000, ["17"]]);
    flow("last");
    flow("one more");
    // Of the next sixteen none owed nothing; of those behind one does, and goes.
    expect([queue.idleFlows(), forgotten.slice(1)]).toEqual([10_000, ["33", "40"]]);
  });

  it("is told apart by its ties alone", () => {
    const { flow } = setUp();
    const [first, second] = [flow("a", 1), flow("b", 1)];
    expect(second.tag - first.tag).toBeCloseTo(TIE, 12);
  });
});
