import { expect, test } from "vitest";
import { createBackoff } from "./backoff.ts";
import { createRestartPolicy, restartDefaults } from "./restart-policy.ts";

const options = { ...restartDefaults, random: () => 1 };

test("a process that was healthy is started again at once", () => {
  const policy = createRestartPolicy(options);
  policy.ready();
  expect(policy.died(1000)).toEqual({ restart: "after", delayMs: 0, looping: false });
});

test("deaths that follow each other are a crash loop, with backoff; a quiet minute ends it", () => {
  const policy = createRestartPolicy(options);
  for (let death = 1; death < restartDefaults.loopCount; death += 1) {
    policy.ready();
    expect(policy.died(death)).toMatchObject({ delayMs: 0 });
  }
  policy.ready();
  expect(policy.died(100)).toEqual({ restart: "after", delayMs: 1000, looping: true });
  policy.ready();
  expect(policy.died(200)).toEqual({ restart: "after", delayMs: 2000, looping: true });
  policy.ready();
  expect(policy.died(70_000)).toEqual({ restart: "after", delayMs: 0, looping: false });
});

test("deaths before it was ready make it broken at the third", () => {
  const policy = createRestartPolicy(options);
  expect(policy.died(0)).toMatchObject({ restart: "after", delayMs: 500 });
  expect(policy.died(600)).toMatchObject({ restart: "after", delayMs: 1000 });
  expect(policy.died(1700)).toEqual({ restart: "broken", retryAfterMs: restartDefaults.brokenMs });
  expect(policy.died(70_000)).toMatchObject({ restart: "after", delayMs: 500 });
});

test("what became ready in between begins its tries anew, and so does what died after a quiet while", () => {
  const policy = createRestartPolicy(options);
  policy.died(0);
  policy.died(600);
  policy.ready();
  expect(policy.died(1000)).toEqual({ restart: "after", delayMs: 0, looping: false });
  // It was ready before this one, and not again: the first try of a new life.
  expect(policy.died(1100)).toEqual({ restart: "after", delayMs: 500, looping: false });
  const loops = createRestartPolicy({ ...options, loopCount: 2, loopWindowMs: 1000 });
  const dies = (atMs: number) => {
    loops.ready();
    return loops.died(atMs);
  };
  expect(dies(0)).toMatchObject({ looping: false });
  expect(dies(999)).toMatchObject({ looping: true, delayMs: 1000 });
  expect(dies(1500)).toMatchObject({ looping: true, delayMs: 2000 });
  expect(dies(2500)).toMatchObject({ looping: false, delayMs: 0 });
  expect(dies(2600)).toMatchObject({ looping: true, delayMs: 1000 });
});

test("backoff doubles to its cap, half of it by chance", () => {
  const low = createBackoff({ firstMs: 100, capMs: 1000, random: () => 0 });
  const high = createBackoff({ firstMs: 100, capMs: 1000, random: () => 1 });
  expect(Array.from({ length: 5 }, () => low.nextMs())).toEqual([50, 100, 200, 400, 500]);
  expect(Array.from({ length: 5 }, () => high.nextMs())).toEqual([100, 200, 400, 800, 1000]);
  high.reset();
  expect(high.nextMs()).toBe(100);
});
