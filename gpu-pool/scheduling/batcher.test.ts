import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Batcher } from "./batcher.ts";
import type { Ticket } from "./batcher.ts";
import { bucketsUpTo } from "./batching/buckets.ts";
import { halve } from "./bisect.ts";

type Some = Partial<Ticket<null>> & { id: string };

function ticket(more: Some): Ticket<null> {
  const times = { enqueuedAtMs: 0, startByMs: Infinity, endByMs: Infinity };
  return { ...times, cost: 1, group: null, armed: true, startingSent: true, payload: null, ...more };
}

const ids = (tickets: readonly Ticket<null>[] | undefined): string[] => (tickets ?? []).map(({ id }) => id);

describe("batcher", () => {
  test("a full batch goes at once, a part of one when the oldest has waited long enough", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 3, maxQueueDelayMs: 10 });
    batcher.add(ticket({ id: "a", enqueuedAtMs: 0 }));
    batcher.add(ticket({ id: "b", enqueuedAtMs: 4 }));
    expect(batcher.take(9, true)).toBeNull();
    expect(batcher.nextWakeMs(9)).toBe(10);
    batcher.add(ticket({ id: "c", enqueuedAtMs: 9 }));
    batcher.add(ticket({ id: "d", enqueuedAtMs: 9 }));
    expect(ids(batcher.take(9, true)?.tickets)).toEqual(["a", "b", "c"]);
    expect(batcher.take(18, true)).toBeNull();
    expect(ids(batcher.take(19, true)?.tickets)).toEqual(["d"]);
  });

  test("only a ticket whose start is counted is taken, and only others expire", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    batcher.add(ticket({ id: "unarmed", armed: false, startingSent: false, startByMs: 5 }));
    batcher.add(ticket({ id: "armed", startByMs: 5 }));
    expect(ids(batcher.take(0, true)?.tickets)).toEqual(["armed"]);
    expect(batcher.nextWakeMs(0)).toBe(5);
    expect(ids(batcher.expire(5))).toEqual(["unarmed"]);
    expect(batcher.waiting).toBe(0);
  });

  test("gives a group to one slot as a whole, and to several in batches side by side, before all others", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 2, maxQueueDelayMs: 0 });
    const half = ["a", "b", "c", "d", "e"].map((id) => ticket({ id, group: 7 }));
    batcher.add(ticket({ id: "other" }));
    batcher.addFirst(half);
    expect(batcher.take(0, false, false, 4)).toBeNull();
    expect(batcher.take(0, true, false, 4)).toMatchObject({ tickets: [{ id: "a" }, { id: "b" }], exclusive: true });
    expect(ids(batcher.more(7)?.tickets)).toEqual(["c", "d"]);
    expect(ids(batcher.more(7)?.tickets)).toEqual(["e"]);
    expect([batcher.more(7), batcher.armed]).toEqual([null, 1]);
    batcher.addFirst(half);
    expect(ids(batcher.take(0, true)?.tickets)).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("gives up the last that wait long enough, and none that must run with others", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    batcher.add(ticket({ id: "half", group: 1 }));
    for (const [id, enqueuedAtMs] of [
      ["a", 1],
      ["b", 2],
      ["c", 3],
      ["young", 9],
    ] as const)
      batcher.add(ticket({ id, enqueuedAtMs }));
    expect(batcher.takeLast(0, 5)).toEqual([]);
    expect(ids(batcher.takeLast(2, 5))).toEqual(["b", "c"]);
    expect(batcher.armed).toBe(3);
    expect(ids(batcher.takeLast(9, 5))).toEqual(["a"]);
    expect(batcher.waiting).toBe(2);
  });

  test("gives up what waits since then exactly, counted or not", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    batcher.add(ticket({ id: "armed", enqueuedAtMs: 5 }));
    batcher.add(ticket({ id: "unarmed", enqueuedAtMs: 5, armed: false }));
    expect(ids(batcher.takeLast(9, 4))).toEqual([]);
    expect(ids(batcher.takeLast(9, 5))).toEqual(["armed", "unarmed"]);
    expect(batcher.armed).toBe(0);
  });

  test("counts each start once, of what is put first too, and none of what is cleared", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    batcher.addFirst([ticket({ id: "a" }), ticket({ id: "b", armed: false })]);
    expect(batcher.armed).toBe(1);
    expect([batcher.arm("b"), batcher.arm("b"), batcher.arm("gone")]).toEqual([true, true, false]);
    expect(batcher.armed).toBe(2);
    expect(ids(batcher.clear())).toEqual(["a", "b"]);
    expect([batcher.waiting, batcher.armed, batcher.take(0, true)]).toEqual([0, 0, null]);
  });

  test("asks for the starts of the group at the head, and for nobody's behind it", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    const unarmed = { armed: false, startingSent: false };
    for (const [id, group] of [
      ["x", 1],
      ["y", 1],
      ["z", 2],
    ] as const)
      batcher.add(ticket({ id, group, ...unarmed }));
    batcher.add(ticket({ id: "open", ...unarmed }));
    expect(ids(batcher.toArm(0))).toEqual(["x", "y"]);
    expect(ids(batcher.toArm(3))).toEqual(["z"]);
  });

  test("a counted group goes, whatever else waits for its start", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 5 });
    batcher.add(ticket({ id: "x", group: 1 }));
    // Only a slot's freedom changes what a group does, never time.
    expect(batcher.nextWakeMs(0)).toBe(Infinity);
    batcher.add(ticket({ id: "open", armed: false, startByMs: 90 }));
    batcher.add(ticket({ id: "later", enqueuedAtMs: 3 }));
    batcher.add(ticket({ id: "last", enqueuedAtMs: 4 }));
    expect(batcher.nextWakeMs(0)).toBe(8);
    expect(ids(batcher.take(0, true)?.tickets)).toEqual(["x"]);
  });

  test("asks for starts in order, up to the quota, once each", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 2, maxQueueDelayMs: 0 });
    batcher.add(ticket({ id: "a" }));
    for (const id of ["b", "c", "d"]) batcher.add(ticket({ id, armed: false, startingSent: false }));
    expect(ids(batcher.toArm(2))).toEqual(["b"]);
    expect(ids(batcher.toArm(3))).toEqual(["c"]);
    expect(ids(batcher.toArm(3))).toEqual([]);
  });

  test("a group runs whole, before others, and in an instance of its own", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    batcher.add(ticket({ id: "meanwhile" }));
    const group = { group: 1, armed: false, startingSent: false };
    batcher.addFirst([ticket({ id: "x", ...group }), ticket({ id: "y", ...group })]);
    expect(ids(batcher.toArm(0))).toEqual(["x", "y"]);
    batcher.arm("x");
    expect(ids(batcher.take(0, true)?.tickets)).toEqual(["meanwhile"]);
    expect(batcher.take(0, true)).toBeNull();
    batcher.add(ticket({ id: "other" }));
    batcher.arm("y");
    expect(batcher.take(0, false)).toBeNull();
    expect(batcher.take(0, true)).toMatchObject({ exclusive: true, tickets: [{ id: "x" }, { id: "y" }] });
    expect(ids(batcher.take(0, false)?.tickets)).toEqual(["other"]);
  });

  test("whatever happens, every ticket leaves once, in order, by one door", () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant("add" as const), armed: fc.boolean(), startInMs: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ do: fc.constant("take" as const), idle: fc.boolean() }),
      fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 30 }) }),
      fc.record({ do: fc.constant("arm" as const), quota: fc.integer({ min: 0, max: 6 }) }),
      fc.record({ do: fc.constant("remove" as const), nth: fc.nat(20) }),
      fc.record({ do: fc.constant("fail" as const) }),
    );
    const settings = fc.record({
      maxBatchSize: fc.integer({ min: 1, max: 4 }),
      maxQueueDelayMs: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(settings, fc.array(action, { maxLength: 80 }), (options, actions) => {
        const batcher = new Batcher<null>(options);
        const inside = new Map<string, Ticket<null>>();
        let nowMs = 0;
        let made = 0;
        let groups = 0;
        let lastTaken: Ticket<null>[] = [];
        const leave = (one: Ticket<null>): void => {
          expect(inside.delete(one.id)).toBe(true);
        };
        for (const act of actions) {
          if (act.do === "add") {
            const { armed, startInMs } = act;
            const id = `t${made++}`;
            const one = ticket({ id, enqueuedAtMs: nowMs, startByMs: nowMs + startInMs, armed, startingSent: armed });
            inside.set(id, one);
            batcher.add(one);
          } else if (act.do === "pass") {
            nowMs += act.ms;
            for (const late of batcher.expire(nowMs)) {
              expect(late.armed).toBe(false);
              expect(late.startByMs).toBeLessThanOrEqual(nowMs);
              leave(late);
            }
          } else if (act.do === "arm") {
            for (const { id } of batcher.toArm(act.quota)) expect(batcher.arm(id)).toBe(true);
          } else if (act.do === "remove") {
            const one = batcher.remove(`t${act.nth}`);
            expect(one?.id).toBe(inside.has(`t${act.nth}`) ? `t${act.nth}` : undefined);
            if (one !== undefined) leave(one);
          } else if (act.do === "take") {
            const batch = batcher.take(nowMs, act.idle);
            if (batch === null) continue;
            const { tickets, exclusive } = batch;
            expect(tickets.length).toBeGreaterThan(0);
            expect(tickets.every(({ armed }) => armed)).toBe(true);
            if (exclusive) expect(act.idle && new Set(tickets.map(({ group }) => group)).size === 1).toBe(true);
            else {
              expect(tickets.length).toBeLessThanOrEqual(options.maxBatchSize);
              const waitedMs = nowMs - Math.min(...tickets.map(({ enqueuedAtMs }) => enqueuedAtMs));
              expect(tickets.length === options.maxBatchSize || waitedMs >= options.maxQueueDelayMs).toBe(true);
            }
            tickets.forEach(leave);
            lastTaken = tickets;
          } else if (lastTaken.length > 1) {
            const again = halve(lastTaken).flatMap((half) => {
              groups += 1;
              return half.map((one) => ticket({ ...one, group: groups, armed: false, startingSent: false }));
            });
            lastTaken = [];
            for (const one of again) inside.set(one.id, one);
            batcher.addFirst(again);
          }
          expect(batcher.waiting).toBe(inside.size);
          expect(batcher.armed).toBe([...inside.values()].filter(({ armed }) => armed).length);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("batches of like cost", () => {
  const options = { maxBatchSize: 4, maxQueueDelayMs: 10, maxBatchCost: 100, buckets: bucketsUpTo([10, 50]) };
  const add = (batcher: Batcher<null>, ...costs: [id: string, cost: number, more?: Partial<Ticket<null>>][]): void => {
    for (const [id, cost, more] of costs) batcher.add(ticket({ id, cost, ...more }));
  };
  const taken = (batcher: Batcher<null>, nowMs: number): unknown => {
    const batch = batcher.take(nowMs, true);
    return batch === null ? null : [batch.reason, ...ids(batch.tickets)];
  };

  test("hold one bucket: the oldest one's when it has waited, else the first that is full", () => {
    const batcher = new Batcher<null>(options);
    add(batcher, ["long", 40], ["a", 5], ["b", 6], ["c", 7]);
    expect(taken(batcher, 5)).toBeNull();
    add(batcher, ["d", 8], ["e", 9]);
    expect(taken(batcher, 5)).toEqual(["full", "a", "b", "c", "d"]);
    expect(taken(batcher, 10)).toEqual(["delay", "long"]);
    expect(taken(batcher, 10)).toEqual(["delay", "e"]);
  });

  test("hold several buckets where that takes less time than calls of their own", () => {
    const batcher = new Batcher<null>({ ...options, maxBatchSize: 5 });
    const runs = (msPerCost: number): void => {
      for (let cost = 1; cost <= 200; cost += 1)
        batcher.limits.ran({ size: 3, cost, bucket: 0 }, 30 + msPerCost * cost);
    };
    runs(2);
    add(batcher, ["a", 5], ["long", 20], ["b", 6]);
    expect(taken(batcher, 10)).toEqual(["delay", "a", "b"]);
    expect(taken(batcher, 10)).toEqual(["delay", "long"]);
    runs(0.1);
    add(batcher, ["a", 5], ["long", 20], ["b", 6], ["too", 60]);
    expect(taken(batcher, 10)).toEqual(["delay", "a", "b", "long"]);
    expect(taken(batcher, 10)).toEqual(["delay", "too"]);
  });

  test("cost no more than they may, padded to the largest; one alone runs whatever it costs", () => {
    const batcher = new Batcher<null>({ ...options, buckets: undefined });
    add(batcher, ["a", 20], ["b", 30], ["c", 40], ["huge", 500], ["last", 1]);
    expect(taken(batcher, 0)).toEqual(["cost", "a", "b"]);
    expect(taken(batcher, 0)).toEqual(["cost", "c"]);
    expect(taken(batcher, 0)).toEqual(["cost", "huge"]);
    expect(taken(batcher, 0)).toBeNull();
    expect(taken(batcher, 10)).toEqual(["delay", "last"]);
  });

  test("have one member where its cost has no number", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    add(batcher, ["a", 1], ["none", Infinity], ["other", Infinity], ["b", 1]);
    expect(taken(batcher, 0)).toEqual(["cost", "a"]);
    expect(taken(batcher, 0)).toEqual(["cost", "none"]);
    expect(taken(batcher, 0)).toEqual(["cost", "other"]);
    expect(taken(batcher, 0)).toEqual(["idle", "b"]);
  });

  test("shrink when one ran out of memory", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 0 });
    batcher.limits.memory.ranOut(6);
    add(batcher, ["a", 1], ["b", 1], ["c", 1], ["d", 1]);
    expect(taken(batcher, 0)).toEqual(["cost", "a", "b", "c"]);
    expect(taken(batcher, 0)).toEqual(["idle", "d"]);
  });

  test("have the size that their model's latency allows", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 10, latencyObjectiveMs: 110 });
    for (const size of [1, 2, 4]) batcher.limits.ran({ size, cost: size, bucket: 0 }, 25 * size);
    add(batcher, ...["a", "b", "c", "d", "e"].map((id): [string, number] => [id, 1]));
    expect(taken(batcher, 0)).toEqual(["full", "a", "b", "c", "d"]);
  });

  test("are counted together, and not by age", () => {
    const batcher = new Batcher<null>(options);
    const unarmed = { armed: false, startingSent: false };
    add(batcher, ["a", 5, unarmed], ["x", 40, unarmed], ["b", 6, unarmed], ["y", 41, unarmed], ["c", 7, unarmed]);
    expect(ids(batcher.toArm(3))).toEqual(["a", "b", "c"]);
    expect(ids(batcher.toArm(5))).toEqual(["x", "y"]);
  });

  test("go before the delay is over where a member would miss its deadline", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 1000 });
    batcher.limits.ran({ size: 1, cost: 1, bucket: 0 }, 100);
    add(batcher, ["calm", 1], ["pressed", 1, { endByMs: 300 }]);
    expect(batcher.nextWakeMs(0)).toBe(155);
    expect(taken(batcher, 154)).toBeNull();
    expect(taken(batcher, 155)).toEqual(["deadline", "pressed", "calm"]);
  });

  test("go ahead of a slot only when they are full", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 2, maxQueueDelayMs: 0 });
    add(batcher, ["a", 1]);
    expect(batcher.take(0, false, true)).toBeNull();
    add(batcher, ["b", 1]);
    expect(ids(batcher.take(0, false, true)?.tickets)).toEqual(["a", "b"]);
  });
});

test("what can't end in time leaves, of models that say so, once runs are known", () => {
  const late = { id: "late", endByMs: 50 };
  const kept = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 1000 });
  const dropping = new Batcher<null>({ maxBatchSize: 8, maxQueueDelayMs: 1000, dropsLate: true });
  for (const batcher of [kept, dropping]) batcher.add(ticket({ ...late, armed: false }));
  expect(dropping.dropLate(20)).toEqual([]);
  for (const batcher of [kept, dropping]) batcher.limits.ran({ size: 1, cost: 1, bucket: 0 }, 40);
  expect(dropping.nextWakeMs(0)).toBe(11);
  expect([kept.dropLate(20), ids(dropping.dropLate(10)), ids(dropping.dropLate(11))]).toEqual([[], [], ["late"]]);
  expect(dropping.waiting).toBe(0);
});

test("halving finds a culprit among n in at most log2 n rounds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 300 }), fc.nat(), (size, seed) => {
      const culprit = seed % size;
      let suspects = Array.from({ length: size }, (_, index) => index);
      let rounds = 0;
      const innocent = new Set<number>();
      while (suspects.length > 1) {
        const [left, right] = halve(suspects);
        const [bad, good] = left.includes(culprit) ? [left, right] : [right, left];
        for (const one of good) innocent.add(one);
        suspects = bad;
        rounds += 1;
      }
      expect(suspects).toEqual([culprit]);
      expect(innocent.size).toBe(size - 1);
      expect(rounds).toBeLessThanOrEqual(Math.ceil(Math.log2(size)));
    }),
  );
});
