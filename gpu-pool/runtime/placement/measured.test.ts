/** Loads whose measuring goes wrong: a process that dies meanwhile, a look that fails, a neighbour that ends. */
import { expect, test } from "vitest";
import { FakeHost } from "./fake-host.ts";
import type { FakeModelSpec } from "./fake-host.ts";

const spec = (changes: Partial<FakeModelSpec>): FakeModelSpec => ({
  ...{ bytes: 0, hint: null, loadMs: 100, runMs: 10, count: 1, devicesPerInstance: 1, pinned: false },
  ...changes,
});

test("a process that dies while its load is measured teaches nothing", async () => {
  const host = new FakeHost([1000, 1000], [spec({ bytes: 600 })]);
  const [model] = host.models;
  if (model === undefined) throw new Error("the host has no model");
  const [instance] = model.instances;
  host.onLook = () => instance?.crash();
  model.submit(1);
  await host.step(100);
  host.onLook = () => {};
  expect(host.placer.loadBytesOf(model)).toBeNull();
  while (await host.step());
  expect([model.done.size, host.placer.loadBytesOf(model)]).toEqual([1, 600]);
});

test("a load of which no look told is measured by a later one: its model has its other processes then", async () => {
  const host = new FakeHost([1000, 1000, 1000], [spec({ bytes: 200, count: 3, runMs: 60_000 })]);
  const [model] = host.models;
  if (model === undefined) throw new Error("the host has no model");
  for (let job = 0; job < 5; job += 1) model.submit(job);
  await host.step(50);
  host.isBlind = true;
  await host.step(150);
  host.isBlind = false;
  const placed = (): number => model.instances.filter(({ placement }) => placement !== "none").length;
  expect([placed(), host.setAside("0")]).toEqual([1, 1000]);
  await host.lookAgain();
  while (await host.step(5000));
  expect([placed(), host.placer.loadBytesOf(model), host.setAside("0")]).toEqual([3, 200, 250]);
});

test("so is one whose neighbour ended meanwhile; a pinned model leaves the rest of its card", async () => {
  const neighbour = spec({ bytes: 400, hint: 400 });
  const models = [neighbour, spec({ bytes: 300, pinned: true }), spec({ bytes: 500, hint: 500 })];
  const host = new FakeHost([1000], models.slice(0, 1));
  const [first] = host.models;
  if (first === undefined) throw new Error("the host has no model");
  first.submit(1);
  while (await host.step());
  const [pinned, other] = models.slice(1).map((one) => host.add(one));
  await host.step(50);
  first.instances[0]?.crash();
  while (await host.step());
  await host.lookAgain();
  expect(pinned?.instances[0]?.placement).toBe("idle");
  expect(other && host.placer.refusal(other)).toBeNull();
  other?.submit(2);
  while (await host.step());
  expect(other?.done.size).toBe(1);
});

test("what was measured while another loaded beside it counts until a load by itself is measured", async () => {
  const known = spec({ bytes: 400, hint: 400, loadMs: 300 });
  const host = new FakeHost([1000], [known, spec({ bytes: 300, loadMs: 500 })]);
  const [first, second] = host.models;
  first?.submit(1);
  second?.submit(2);
  while (await host.step());
  expect(second && host.placer.loadBytesOf(second)).toBeGreaterThan(300);
  // It comes again, by itself.
  second?.instances[0]?.crash();
  second?.submit(3);
  while (await host.step());
  first?.submit(4);
  while (await host.step());
  expect(host.models.map(({ instances }) => instances[0]?.placement)).toEqual(["idle", "idle"]);
  expect(second && host.placer.loadBytesOf(second)).toBe(300);
});
