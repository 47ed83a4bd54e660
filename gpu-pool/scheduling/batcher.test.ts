import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Batcher } from "./batcher.ts";
import type { Ticket } from "./batcher.ts";
import { halve } from "./bisect.ts";

type Some = Partial<Ticket<null>> & { id: string };

function ticket(more: Some): Ticket<null> {
  const base = { enqueuedAtMs: 0, startByMs: Infinity, group: null, armed: true, startingSent: true, payload: null };
  return { ...base, ...more };
}

const ids = (tickets: readonly Ticket<null>[] | undefined): string[] => (tickets ?? []).map(({ id }) => id);

describe("batcher", () => {
  test("a full batch goes at once, a part of one when the oldest has waited long enough", () => {
    const batcher = new Batcher<null>({ maxBatchSize: 3, maxQueueDelayMs: 10 });
    batcher.add(ticket({ id: "a", enqueuedAtMs: 0 }));
    batcher.add(ticket({ id: "b", enqueuedAtMs: 4 }));
    expect(batcher.take(9, true)).toBeNull();
    expect(batcher.nextWakeMs()).toBe(10);
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
    expect(batcher.nextWakeMs()).toBe(5);
    expect(ids(batcher.expire(5))).toEqual(["unarmed"]);
    expect(batcher.waiting).toBe(0);
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
    expect(batcher.nextWakeMs()).toBe(Infinity);
    batcher.add(ticket({ id: "open", armed: false, startByMs: 90 }));
    batcher.add(ticket({ id: "later", enqueuedAtMs: 3 }));
    batcher.add(ticket({ id: "last", enqueuedAtMs: 4 }));
    expect(batcher.nextWakeMs()).toBe(8);
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
