/** What becomes of a pool's statement that its lane did not take. */
import { expect, it, onTestFinished, vi } from "vitest";
import type { RoomReport } from "../lane/types.ts";
import { createStatements } from "./statements.ts";

const model = (version: string, room: number) => ({
  ...{ model: "local/echo", version, room, startNow: room, readyInMs: 0, problem: null },
});
const report = (n: number, parts: Partial<RoomReport> = {}): RoomReport => ({
  ...{ session: "session-1", n, full: false, models: [], seen: [], ended: [] },
  ...parts,
});

function setUp(failures: number) {
  const told: RoomReport[] = [];
  const world = { isOpen: true, failures };
  const statements = createStatements({
    async tell(_lane, one) {
      if (world.failures-- > 0) throw new Error("the lane is away");
      told.push(one);
    },
    isOpen: () => world.isOpen,
    sleep: async () => {},
  });
  return { told, world, statements };
}

it("tells a lane again what it did not take", async () => {
  const { told, statements } = setUp(3);
  await statements.pass("default", report(1, { models: [model("v", 2)], ended: [{ id: "a", ms: 5 }] }));
  expect(told).toEqual([report(1, { models: [model("v", 2)], ended: [{ id: "a", ms: 5 }] })]);
});

it("adds what comes meanwhile: the latest rooms, and all that was seen and ended", async () => {
  const { told, statements } = setUp(2);
  await Promise.all([
    statements.pass("default", report(1, { full: true, models: [model("v", 0), model("w", 1)], seen: ["a"] })),
    statements.pass("default", report(2, { models: [model("v", 2)], seen: ["b"], ended: [{ id: "a", ms: 5 }] })),
  ]);
  expect(told).toEqual([
    report(2, {
      full: true,
      models: [model("v", 2), model("w", 1)],
      seen: ["a", "b"],
      ended: [{ id: "a", ms: 5 }],
    }),
  ]);
  await statements.pass("default", report(3));
  expect(told.at(-1)).toEqual(report(3));
});

it("says nothing more once the channel is closed", async () => {
  const { told, world, statements } = setUp(1);
  const passed = statements.pass("default", report(1));
  world.isOpen = false;
  await passed;
  expect(told).toEqual([]);
});

/** The first calls of this lane fail or hang, in this order; it takes every later one. */
function sickLane(...answers: ("fails" | "hangs")[]) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const told: number[] = [];
  const statements = createStatements({
    async tell(_lane, { n }) {
      const answer = answers.shift();
      if (answer === "fails") throw new Error("the lane is away");
      if (answer === "hangs") await new Promise<never>(() => {});
      told.push(n);
    },
    isOpen: () => true,
    sleep: async () => {},
  });
  return { told, statements };
}

it("tells a lane again that doesn't answer when it is tried again, and what came meanwhile", async () => {
  const { told, statements } = sickLane("fails", "hangs");
  void statements.pass("default", report(1));
  await vi.advanceTimersByTimeAsync(1000);
  void statements.pass("default", report(2));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual([2]);
});

it("tells a lane again that never answers the first time", async () => {
  const { told, statements } = sickLane("hangs");
  void statements.pass("default", report(1));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual([1]);
});
