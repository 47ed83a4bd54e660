/**
 * Batches on a card whose memory is a number: what they took teaches how large the next may be, whoever else is there.
 */
import { expect, test } from "vitest";
import { Batcher } from "../../scheduling/batcher.ts";
import { learnFromRun } from "../learning.ts";
import { leftFor, ProcessMemory } from "../process-memory.ts";
import { Run } from "../run.ts";
import { FakeHost } from "./fake-host.ts";
import type { FakeModelSpec } from "./fake-host.ts";

const CARD = 1000;
const WEIGHTS = 100;
const spec = { loadMs: 10, runMs: 5, count: 1, devicesPerInstance: 1, pinned: false };
const of = (bytes: number): FakeModelSpec => ({ ...spec, bytes, hint: bytes });

/** The first model of a host runs batches, of which each member takes `each`; the others hold what they load. */
class Served {
  each = 10;
  ranOut = 0;
  readonly host: FakeHost;
  readonly #batcher = new Batcher<null>({ maxBatchSize: 64, maxQueueDelayMs: 0 });
  readonly #memory = new ProcessMemory(WEIGHTS);
  #made = 0;

  constructor(...models: readonly FakeModelSpec[]) {
    this.host = new FakeHost([CARD], [of(WEIGHTS), ...models]);
  }

  /** One job of this model, until nothing happens any more. */
  async wake(model: number): Promise<void> {
    this.host.models[model]?.submit(this.#made);
    while (await this.host.step());
  }

  /** The sizes of the batches that so many make. */
  serve(count: number): number[] {
    const { host } = this;
    const { limits } = this.#batcher;
    const [model] = host.models;
    const [instance] = model?.instances ?? [];
    if (model === undefined || instance === undefined) throw new Error("the host has no model");
    for (let index = 0; index < count; index += 1) this.#add();
    const sizes: number[] = [];
    while (this.#batcher.waiting > 0) {
      const bounds = { deviceBytes: host.placer.shareOf(instance), loadBytes: host.placer.loadBytesOf(model) };
      limits.leaves(leftFor(this.#memory, { ...bounds, hostBytes: null }));
      const size = this.#batcher.take(host.nowMs, true)?.tickets.length ?? 0;
      if (size > 1 && host.usedOf("0") + size * this.each > CARD) {
        this.ranOut += 1;
        limits.memory.ranOut(size);
        for (let index = 0; index < size; index += 1) this.#add();
        continue;
      }
      sizes.push(size);
      const peakBytes = WEIGHTS + size * this.each;
      const run = new Run({
        number: sizes.length,
        predictions: [],
        exclusive: false,
        startedAtMs: host.nowMs,
        hasBegun: true,
        shape: { size, cost: size, bucket: 0 },
        isOneCall: true,
      });
      learnFromRun(run, 1, limits, this.#memory.noted({ of: "device", baseBytes: WEIGHTS, peakBytes }));
    }
    return sizes;
  }

  #add(): void {
    this.#made += 1;
    const times = { enqueuedAtMs: this.host.nowMs, startByMs: Infinity, endByMs: Infinity };
    const state = { armed: true, startingSent: true, group: null, cost: 1, payload: null };
    this.#batcher.add({ id: String(this.#made), ...times, ...state });
  }
}

test("batches grow to what fits the card, and no further", async () => {
  const served = new Served();
  await served.wake(0);
  served.each = 25;
  expect(served.serve(1)).toEqual([1]);
  const sizes = served.serve(400);
  expect(served.ranOut).toBe(0);
  // 900 are left of the card: 36 of 25 each.
  expect(Math.max(...sizes)).toBeGreaterThan(32);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(36);
});

test("a second model on the card leaves less for them, until it is gone", async () => {
  const served = new Served(of(600));
  await served.wake(0);
  served.serve(1);
  expect(Math.max(...served.serve(200))).toBe(64);
  await served.wake(1);
  expect(served.host.usedOf("0")).toBe(WEIGHTS + 600);
  const sizes = served.serve(200);
  expect(served.ranOut).toBe(0);
  expect(Math.max(...sizes)).toBe(30);
  served.host.models[1]?.instances[0]?.retire();
  while (await served.host.step());
  expect(Math.max(...served.serve(200))).toBe(64);
});

test("so does another program on the card, which nobody knows of but by looking at it", async () => {
  const served = new Served();
  await served.wake(0);
  served.serve(1);
  served.host.others.set("0", 600);
  await served.host.lookAgain();
  const sizes = served.serve(200);
  expect(served.ranOut).toBe(0);
  // 300 are left of the card.
  expect(Math.max(...sizes)).toBeGreaterThan(25);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(30);
});

test("inputs that take more than those before fail once, and what fits is found again when they are gone", async () => {
  const served = new Served(of(400));
  await served.wake(0);
  await served.wake(1);
  served.serve(1);
  served.serve(200);
  served.each = 40;
  served.serve(200);
  expect(served.ranOut).toBeGreaterThan(0);
  const failures = served.ranOut;
  expect(Math.max(...served.serve(200))).toBeLessThanOrEqual(12);
  expect(served.ranOut).toBe(failures);
  served.each = 10;
  for (let round = 0; round < 1400; round += 1) served.serve(16);
  expect(served.ranOut).toBe(failures);
  expect(served.serve(20)[0]).toBeGreaterThan(12);
});
