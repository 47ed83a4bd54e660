import { expect, test } from "vitest";
import type { ModelRoom, PoolMessage } from "../../src/contract/channel.ts";
import { createSteppedClock } from "../../test/unit/hand-clock.ts";
import { RoomStatements } from "./room-statements.ts";

type Room = Extract<PoolMessage, { type: "room" }>;

function setUp(changes: Partial<ModelRoom> = {}) {
  const { clock, pass } = createSteppedClock();
  const model: ModelRoom = {
    model: "a/b",
    version: "v",
    room: 8,
    startNow: 4,
    readyInMs: 0,
    problem: null,
    ...changes,
  };
  const state = { open: true, changesInMs: Infinity };
  const told: Room[] = [];
  const statements = new RoomStatements({
    clock,
    rooms: () => ({ lanes: new Map([["default", [{ ...model }]]]), changesInMs: state.changesInMs }),
    send(message) {
      if (state.open) told.push(message);
      return state.open;
    },
  });
  let ids = 0;
  return {
    model,
    state,
    statements,
    pass,
    told,
    last: () => told.at(-1)?.lanes[0],
    /** Grants as the edge sends them: the pool then has room for fewer. */
    grant(count: number, startNow = false) {
      const grants = Array.from({ length: count }, () => ({
        id: `p${(ids += 1)}`,
        model: "a/b",
        version: "v",
        startNow,
        lane: "default",
      }));
      model.room -= count;
      if (startNow) model.startNow -= count;
      statements.received(grants);
      return grants.map(({ id }) => id);
    },
    end(id: string, ms: number) {
      model.room += 1;
      statements.ended(id, "default", ms);
    },
  };
}

test("says everything when the channel opens, and nothing while nothing changes", async () => {
  const { statements, pass, told, model } = setUp();
  statements.changed();
  await pass(1000);
  expect(told).toEqual([]);
  statements.tellAll();
  statements.changed();
  await pass(60_000);
  expect(told).toEqual([
    { type: "room", n: 1, full: true, lanes: [{ lane: "default", models: [model], seen: [], ended: [] }] },
  ]);
});

test("acknowledges grants within 100 ms, with the room that is left", async () => {
  const { statements, grant, pass, told, last } = setUp();
  statements.tellAll();
  const [id] = grant(1);
  await pass(99);
  expect(told).toHaveLength(1);
  await pass(1);
  expect(told).toHaveLength(2);
  expect(told[1]).toMatchObject({ n: 2, full: false });
  expect(last()).toMatchObject({ seen: [id], ended: [], models: [{ room: 7 }] });
  await pass(60_000);
  expect(told).toHaveLength(2);
});

test("names a model with every grant that it acknowledges, though its room is what the lane believes", async () => {
  const { statements, grant, pass, told, last } = setUp();
  statements.tellAll();
  grant(2);
  await pass(100);
  expect(told).toHaveLength(2);
  expect(last()?.models).toHaveLength(1);
});

test("says at once that the lane's view is below half of the truth", async () => {
  const { statements, grant, end, pass, told, last } = setUp();
  statements.tellAll();
  await pass(10);
  const ids = [...grant(4), ...grant(1)];
  for (const id of ids.slice(0, 4)) end(id, 5);
  await pass(0);
  expect(told).toHaveLength(2);
  expect(last()).toMatchObject({ models: [{ room: 7 }], seen: ids });
});

test("says at once that there are starts again", async () => {
  const { statements, grant, model, pass, told, last } = setUp({ startNow: 1 });
  statements.tellAll();
  await pass(10);
  grant(1, true);
  await pass(5);
  expect(told).toHaveLength(1);
  model.startNow = 1;
  statements.changed();
  await pass(0);
  expect(told).toHaveLength(2);
  expect(last()).toMatchObject({ models: [{ startNow: 1 }] });
});

test.each([
  ["there is room again", { room: 0, startNow: 0 }, { room: 1 }],
  ["a model is ready", { readyInMs: 500 }, { readyInMs: 0 }],
  ["a model can't be set up", {}, { problem: "no weights", room: 0 }],
])("says at once that %s", async (_what, before, after) => {
  const { statements, model, pass, told, last } = setUp(before);
  statements.tellAll();
  await pass(10);
  Object.assign(model, after);
  statements.changed();
  await pass(0);
  expect(told).toHaveLength(2);
  expect(last()?.models).toEqual([model]);
});

test("other changes and ends gather for 20 ms, and urgent ones keep a distance of 2 ms", async () => {
  const { statements, grant, end, model, pass, told, last } = setUp();
  statements.tellAll();
  const [id = ""] = grant(1);
  await pass(100);
  end(id, 250);
  await pass(19);
  expect(told).toHaveLength(2);
  await pass(1);
  expect(last()).toMatchObject({ ended: [{ id, ms: 250 }], seen: [], models: [{ room: 8 }] });
  model.problem = "broken";
  statements.changed();
  await pass(1);
  expect(told).toHaveLength(3);
  await pass(1);
  expect(told).toHaveLength(4);
});

test("what a poll left out, or said too small, is said right after it", async () => {
  const { statements, model, pass, told, last } = setUp();
  statements.tellAll();
  await pass(10);
  statements.polled("default", [{ ...model }]);
  await pass(50);
  expect(told).toHaveLength(1);
  statements.polled("default", []);
  await pass(0);
  expect(told).toHaveLength(2);
  expect(last()?.models).toEqual([model]);
});

test("what was told while a poll was on its way is told again when that has its answer", async () => {
  const { statements, model, pass, told, last } = setUp({ room: 0, startNow: 0 });
  statements.tellAll();
  const answered = statements.polled("default", []);
  Object.assign(model, { room: 1, startNow: 1 });
  statements.changed();
  await pass(10);
  expect(last()?.models).toEqual([model]);
  // The lane may have had this statement before the poll, which said that there is no room.
  answered();
  await pass(10);
  expect(told).toHaveLength(3);
  expect(last()?.models).toEqual([model]);
  statements.polled("default", [{ ...model }])();
  await pass(1000);
  expect(told).toHaveLength(3);
});

test("what time alone changes is said without an event", async () => {
  const { statements, model, state, pass, told } = setUp({ room: 0, startNow: 0 });
  state.changesInMs = 400;
  statements.tellAll();
  model.room = 1;
  await pass(399);
  expect(told).toHaveLength(1);
  await pass(1);
  expect(told).toHaveLength(2);
});

test("after a break it says everything, what came meanwhile, and again what ended shortly before", async () => {
  const { statements, grant, end, pass, told, last, state } = setUp();
  statements.tellAll();
  const [ended = ""] = grant(2);
  await pass(100);
  end(ended, 30);
  await pass(20);
  state.open = false;
  statements.closed();
  const [late = ""] = grant(1);
  await pass(5000);
  state.open = true;
  statements.tellAll();
  expect(told.at(-1)).toMatchObject({ n: 4, full: true });
  expect(last()?.seen).toEqual([late]);
  expect(last()?.ended).toEqual([{ id: ended, ms: 30 }]);
  await pass(30_000);
  statements.tellAll();
  expect(last()).toMatchObject({ ended: [] });
});

test("a prediction that is held under two claims ends with the second", async () => {
  const { statements, pass, last } = setUp();
  statements.tellAll();
  const twice = { id: "p", model: "a/b", version: "v", startNow: false, lane: "default" };
  statements.received([twice]);
  statements.received([twice]);
  statements.ended("p", "default", 1);
  await pass(100);
  expect(last()?.ended).toEqual([]);
  statements.ended("p", "default", 2);
  await pass(100);
  expect(last()?.ended).toEqual([{ id: "p", ms: 2 }]);
});

test("a grant that no model takes is acknowledged and ended on every lane", async () => {
  const { statements, pass, last } = setUp();
  statements.tellAll();
  statements.received([{ id: "p", model: "not/here", version: "v", startNow: true, lane: null }]);
  statements.ended("p", null, 0);
  await pass(100);
  expect(last()).toMatchObject({ seen: ["p"], ended: [{ id: "p", ms: 0 }], models: [] });
});

test("says no more of one that came back that it had ended: its lane would take it for ended again", async () => {
  const { statements, grant, end, pass, last } = setUp();
  statements.tellAll();
  const [first = "", second = ""] = grant(2);
  await pass(100);
  for (const id of [first, second]) end(id, 5);
  await pass(100);
  statements.received([{ id: first, model: "a/b", version: "v", startNow: true, lane: "default" }]);
  await pass(100);
  // The channel was away, or the lane asks.
  statements.tellAll();
  expect(last()?.ended).toEqual([{ id: second, ms: 5 }]);
});
