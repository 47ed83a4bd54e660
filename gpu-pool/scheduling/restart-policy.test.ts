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

test("backoff doubles to its cap, half of it by chance", () => {
  const low = createBackoff({ firstMs: 100, capMs: 1000, random: () => 0 });
  const high = createBackoff({ firstMs: 100, capMs: 1000, random: () => 1 });
  expect(Array.from({ length: 5 }, () => low.nextMs())).toEqual([50, 100, 200, 400, 500]);
  expect(Array.from({ length: 5 }, () => high.nextMs())).toEqual([100, 200, 400, 800, 1000]);
  high.reset();
  expect(high.nextMs()).toBe(100);
});
