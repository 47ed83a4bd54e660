/** Models that span several cards, of which one is too small for them. */
import { expect, test } from "vitest";
import { FakeHost } from "./fake-host.ts";
import type { FakeModelSpec } from "./fake-host.ts";

const spec = (changes: Partial<FakeModelSpec>): FakeModelSpec => ({
  ...{ bytes: 0, hint: null, loadMs: 100, runMs: 10, count: 1, devicesPerInstance: 1, pinned: false },
  ...changes,
});

test("a model that spans two cards leaves one that is too small, also beside models that take nothing", async () => {
  const host = new FakeHost([1000, 1000, 400], [spec({}), spec({}), spec({ bytes: 500, devicesPerInstance: 2 })]);
  const [one, other, wide] = host.models;
  one?.submit(1);
  other?.submit(1);
  while (await host.step());
  wide?.submit(1);
  while (await host.step());
  expect(host.models.map(({ done }) => done.size)).toEqual([1, 1, 1]);
  expect(wide?.instances[0]?.devices.toSorted()).toEqual(["0", "1"]);
  expect(host.ranOut).toBeLessThanOrEqual(2);
});
