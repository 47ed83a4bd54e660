import { expect, test } from "vitest";
import { granted } from "../../test/unit/granted.ts";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { PredictionQueue } from "./prediction-queue.ts";

type Options = ConstructorParameters<typeof PredictionQueue>[0];

function setUp() {
  const notes: string[] = [];
  const note = (what: string) => (tokens: readonly string[]) => void notes.push(`${what} ${tokens.join(" ")}`);
  const batching = { maxBatchSize: 2, maxQueueDelayMs: 0 };
  const model = { batching, cost: null, manifest: {} } as unknown as Options["model"];
  const { clock } = createHandClock();
  const queue = new PredictionQueue(
    { model, clock, waiting: { waits: note("waits"), begins: note("begins") } },
    () => {},
  );
  return {
    notes,
    queue,
    add: (token: string, alone = false) => queue.add(granted({ id: token, token, alone })),
    /** To a process, as dispatch does. */
    send: () => {
      for (const { payload } of queue.take(0, true)?.tickets ?? []) payload.stage = "sent";
    },
  };
}

test("notes once who waits when all that may go has gone, and before it goes that it begins", () => {
  const { notes, queue, add, send } = setUp();
  for (const token of ["a", "b", "c", "d"]) add(token);
  send();
  queue.rest(0);
  queue.rest(0);
  expect(notes).toEqual(["begins a b", "waits c d"]);
  send();
  expect(notes.slice(2)).toEqual(["begins c d"]);
});

test("says of a suspect that it only waits until it goes, though its start is counted", () => {
  const { notes, queue, add } = setUp();
  add("lost", true);
  queue.rest(0);
  expect(queue.take(0, false)).toBeNull();
  expect(notes).toEqual(["waits lost"]);
  expect(queue.take(0, true)?.tickets).toHaveLength(1);
  expect(notes).toEqual(["waits lost", "begins lost"]);
});

test("says of none that it only waits whose run was cut off", () => {
  const { notes, queue } = setUp();
  queue.addSuspects([granted({ id: "halved", token: "halved" })]);
  queue.addBack([granted({ id: "back", token: "back" })], true);
  queue.rest(0);
  expect(notes).toEqual([]);
});

test("expires none that has begun before, be it a suspect or one that ran beside it", () => {
  const { queue } = setUp();
  const queued = (id: string) => granted({ id, token: id, startNow: false, startInMs: 100, endInMs: 9000 });
  queue.add(queued("never begun"));
  queue.addBack([queued("beside")], false);
  queue.addSuspects([queued("one half"), queued("the other")]);
  expect(queue.expire(101).map(({ ref }) => ref.id)).toEqual(["never begun"]);
  expect(queue.toArm(9).map(({ ref }) => ref.id)).toEqual(["one half", "the other", "beside"]);
});

test("says of no large input that it only waits: the pool may die of holding it", () => {
  const { notes, queue, add } = setUp();
  add("small");
  queue.add(Object.assign(granted({ id: "large", token: "large" }), { inputBytes: 1024 * 1024 + 1 }));
  queue.rest(0);
  expect(notes).toEqual(["waits small"]);
});
