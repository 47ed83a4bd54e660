import { expect, it } from "vitest";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { createMeter } from "./meter.ts";

const GPU = { id: "0", kind: "cuda" as const, name: "NVIDIA H200", memoryBytes: null };
const model = { owner: "acme", name: "m", version: "v" };
const first = { name: "acme/m#0", model, devices: ["0"] };
const second = { name: "acme/m#1", model, devices: ["0"] };

function setUp() {
  const { clock, pass } = createHandClock();
  const meter = createMeter(clock);
  meter.devices([GPU]);
  return { ...meter, pass };
}

it("tells what nobody had, what set-up took, and what instances had beside attempts", () => {
  const { instances, attempts, pass } = setUp();
  pass(10);
  instances.lives(first, "setup");
  pass(20);
  instances.lives(first, "idle");
  attempts.granted({ id: "p", token: "t", attempt: 1 });
  pass(5);
  attempts.begin("t", ["0"], 1);
  pass(100);
  attempts.take("t");
  pass(5);
  const about = { device: "NVIDIA H200" };
  const idle = { ...about, instance: "acme/m#0", model, phase: "idle", fromMs: 30, toMs: 140, gpuUs: 10_000 };
  expect(instances.close()).toEqual([
    { ...about, instance: "acme/m#0", model, phase: "setup", fromMs: 10, toMs: 30, gpuUs: 20_000 },
    idle,
    { ...about, instance: "0", model: null, phase: "unused", fromMs: 0, toMs: 140, gpuUs: 10_000 },
  ]);
  pass(60);
  expect(instances.close()).toEqual([{ ...idle, fromMs: 140, toMs: 200, gpuUs: 60_000 }]);
  expect(instances.close()).toEqual([]);
});

it("shares a device among those that live on it, until they leave", () => {
  const { instances, pass } = setUp();
  instances.lives(first, "idle");
  instances.lives(second, "idle");
  pass(10);
  instances.lives(second, null);
  instances.lives(second, null);
  pass(10);
  expect(instances.close()).toMatchObject([
    { instance: "acme/m#1", gpuUs: 5000, toMs: 10 },
    { instance: "acme/m#0", gpuUs: 15_000, toMs: 20 },
  ]);
});

it("counts as drain what is left once the pool takes nothing more", () => {
  const { instances, pass } = setUp();
  instances.lives(first, "idle");
  pass(10);
  instances.drain();
  pass(7);
  instances.lives(first, "idle");
  pass(3);
  instances.lives(first, null);
  pass(1);
  expect(instances.close()).toMatchObject([
    { phase: "idle", gpuUs: 10_000 },
    { phase: "drain", gpuUs: 10_000 },
    { phase: "unused", gpuUs: 1000 },
  ]);
});

it("counts no device that is gone, and one that comes back from then on", () => {
  const { instances, devices, pass } = setUp();
  pass(10);
  devices([]);
  pass(100);
  devices([GPU]);
  pass(5);
  expect(instances.close()).toMatchObject([
    { instance: "0", phase: "unused", fromMs: 0, toMs: 10, gpuUs: 10_000 },
    { instance: "0", phase: "unused", fromMs: 110, toMs: 115, gpuUs: 5000 },
  ]);
});
