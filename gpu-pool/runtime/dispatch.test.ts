/** Which instance gets what of several that have free slots. */
import { expect, test } from "vitest";
import { granted } from "../../test/unit/granted.ts";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { dispatchAll } from "./dispatch.ts";
import type { Instance } from "./instance.ts";
import { Instances } from "./instances.ts";
import { PredictionQueue } from "./prediction-queue.ts";

type Options = ConstructorParameters<typeof PredictionQueue>[0];
type Given = { exclusive: boolean; group: number | null };

/** One of four slots, of which so many run something. */
class FakeInstance {
  readonly name: string;
  readonly runs = new Map<number, Given>();
  readonly opensAhead = false;
  readonly process = { slots: 4 };
  placement = "busy";
  isResting = false;

  constructor(name: string, running: number) {
    this.name = name;
    for (let run = 0; run < running; run += 1) this.runs.set(-run, { exclusive: false, group: null });
  }

  get freeSlots(): number {
    return this.placement === "loading" ? 0 : 4 - this.runs.size;
  }

  get group(): number | null {
    return [...this.runs.values()].find(({ exclusive }) => exclusive)?.group ?? null;
  }

  get open(): boolean {
    return this.freeSlots > 0 && this.group === null;
  }
}

function setUp(runMs: number, ...fakes: FakeInstance[]) {
  const instances = new Instances(() => {
    throw new Error("no other is made");
  });
  for (const fake of fakes) instances.all.push(fake as unknown as Instance);
  const model = { batching: { maxBatchSize: 1, maxQueueDelayMs: 0 }, cost: null, manifest: {} };
  const queue = new PredictionQueue({ model, clock: createHandClock().clock } as unknown as Options, () => {});
  let runs = 0;
  /** Dispatches once; answers each prediction that went, with its instance. */
  const go = (): string[] => {
    const gone: string[] = [];
    const give = (instance: Instance, { tickets, exclusive }: NonNullable<ReturnType<PredictionQueue["take"]>>) => {
      runs += 1;
      const fake = instance as unknown as FakeInstance;
      fake.runs.set(runs, { exclusive, group: tickets[0]?.group ?? null });
      gone.push(...tickets.map(({ id }) => `${id} in ${fake.name}`));
    };
    dispatchAll(instances, queue, { nowMs: 0, runMs, leftIn: () => Infinity, give });
    return gone;
  };
  const add = (...ids: string[]) => {
    for (const id of ids) queue.add(granted({ id, token: id }));
  };
  const addSuspects = (...ids: string[]) => {
    queue.addSuspects(ids.map((id) => granted({ id, token: id })));
    for (const id of ids) queue.arm(id);
  };
  return { go, add, addSuspects };
}

const LONG_MS = 60_000;

test("one instance comes to rest for a suspect, and the others go on", () => {
  const [a, b] = [new FakeInstance("a", 1), new FakeInstance("b", 2)];
  const { go, add, addSuspects } = setUp(LONG_MS, a, b);
  addSuspects("suspect");
  add("x", "y", "z");
  expect(go()).toEqual(["x in b", "y in b"]);
  expect(go()).toEqual([]);
  expect([a.isResting, b.isResting]).toEqual([true, false]);
  a.runs.clear();
  expect(go()).toEqual(["suspect in a"]);
  expect(a.isResting).toBe(false);
  b.runs.clear();
  expect(go()).toEqual(["z in b"]);
});

test("a suspect waits for the instance that runs others, and for one that loads where runs are long", () => {
  const [a, b] = [new FakeInstance("a", 0), new FakeInstance("b", 1)];
  const { go, add, addSuspects } = setUp(LONG_MS, a, b);
  a.placement = "loading";
  addSuspects("one", "two", "three", "four");
  add("x");
  expect(go()).toEqual(["x in b"]);
  a.placement = "idle";
  expect(go()).toEqual(["one in a", "two in a"]);
  add("y");
  expect(go()).toEqual(["y in b"]);
  a.runs.clear();
  expect(go()).toEqual(["three in a", "four in a"]);
});

test("suspects run side by side, and one after the other where runs are short", () => {
  for (const [runMs, runs] of [
    [LONG_MS, 2],
    [10, 1],
  ] as const) {
    const a = new FakeInstance("a", 0);
    const { go, addSuspects } = setUp(runMs, a);
    addSuspects("one", "two", "three", "four");
    expect(go()).toEqual(["one in a", "two in a"]);
    expect(a.runs.size).toBe(runs);
  }
});

test("where runs are short a suspect waits for no instance that loads", () => {
  const [a, b] = [new FakeInstance("a", 0), new FakeInstance("b", 1)];
  const { go, add, addSuspects } = setUp(10, a, b);
  a.placement = "loading";
  addSuspects("suspect");
  add("x");
  expect(go()).toEqual([]);
  b.runs.clear();
  expect(go()).toEqual(["suspect in b"]);
});
