/** One call in flight per receiver, and none that is given up for good. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createCourier } from "./courier.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("goes on after its list of receivers could not be read once", async () => {
  const waiting = ["a"];
  let reads = 0;
  const sent: string[] = [];
  const courier = createCourier(
    () => {
      reads += 1;
      if (reads === 2) throw new Error("the storage is away");
      return waiting;
    },
    async (receiver) => void sent.push(...waiting.splice(waiting.indexOf(receiver), 1)),
  );
  courier.kick();
  expect(courier.isBusy()).toBe(true);
  await vi.runAllTimersAsync();
  expect([sent, courier.isBusy()]).toEqual([["a"], false]);
});
