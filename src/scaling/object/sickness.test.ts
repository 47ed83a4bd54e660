import { expect, it } from "vitest";
import { Sickness } from "./sickness.ts";
import type { Sick } from "./sickness.ts";

const KEY = "local/echo v";
const MINUTE_MS = 60_000;

/** What is stored, and a way to start again with it. */
function open(stored: { sick: Sick; proven: string[] } = { sick: {}, proven: [] }) {
  const counts = { proven: 0 };
  const restart = () =>
    new Sickness(stored, {
      sick: (sick) => {
        stored.sick = sick;
      },
      proven: (keys) => {
        stored.proven = keys;
        counts.proven += 1;
      },
    });
  return { sickness: restart(), restart, stored, counts };
}

it("takes a version for sick after two hosts, each counted once, and for longer each time", () => {
  const { sickness } = open();
  sickness.failed(KEY, "a", "no torch", 0);
  sickness.failed(KEY, "a", "no torch", 1);
  expect(sickness.reason(KEY, 2)).toBeNull();
  sickness.failed(KEY, "b", "no torch", 2);
  expect(sickness.reason(KEY, 3)).toContain("its set-up failed on 2 machines");
  expect(sickness.reason(KEY, 31 * MINUTE_MS)).toBeNull();
  sickness.failed(KEY, "c", "no torch", 31 * MINUTE_MS);
  expect(sickness.reason(KEY, 90 * MINUTE_MS)).toContain("no torch");
});

it("forgets it where it serves, and remembers it over a restart", () => {
  const { sickness, restart } = open();
  sickness.failed(KEY, "a", "no torch", 0);
  sickness.well(KEY);
  sickness.failed(KEY, "b", "no torch", 1);
  expect(sickness.reason(KEY, 2)).toBeNull();
  sickness.failed(KEY, "c", "no torch", 2);
  expect(restart().reason(KEY, 3)).toContain("no torch");
});

it("lets two machines try a version, those that failed included, until one has set it up, over restarts too", () => {
  const { sickness, restart } = open();
  expect(sickness.mayTry(KEY, 0, 0)).toBe(2);
  sickness.failed(KEY, "a", "no torch", 0);
  expect(restart().mayTry(KEY, 1, 0)).toBe(1);
  sickness.well(KEY);
  expect(restart().mayTry(KEY, 2, 0)).toBe(Infinity);
  // What another version was seen to do says nothing of it.
  expect(sickness.mayTry("local/echo w", 2, 0)).toBe(2);
});

it("lets one try at a time once what was proven is found sick, and none before the time of grace is over", () => {
  const { sickness } = open({ sick: {}, proven: [KEY] });
  sickness.failed(KEY, "a", "no torch", 0);
  expect(sickness.mayTry(KEY, 1, 0)).toBe(Infinity);
  sickness.failed(KEY, "b", "no torch", 1);
  expect(sickness.mayTry(KEY, 2, 8)).toBe(0);
  expect(sickness.mayTry(KEY, 31 * MINUTE_MS, 8)).toBe(1);
  sickness.well(KEY);
  expect(sickness.mayTry(KEY, 31 * MINUTE_MS, 0)).toBe(Infinity);
});

it("lets as many try as are to be there at least, and says so only where more are wanted", () => {
  const { sickness } = open();
  expect(sickness.mayTry(KEY, 0, 4)).toBe(4);
  expect(sickness.caution(KEY, 0, 0, 2)).toBeNull();
  expect(sickness.caution(KEY, 0, 0, 3)).toBe(
    "No machine has set it up yet: until one has, 2 at most are rented for it.",
  );
  sickness.failed(KEY, "a", "no torch", 0);
  expect(sickness.caution(KEY, 0, 0, 3)).toBe(
    "Its set-up failed on 1 machine: until one has set it up, 1 more at most is rented for it. It said: no torch",
  );
});

it("remembers 500 versions that were proven over restarts, and stores each once, however many serve", () => {
  const { sickness, restart, stored, counts } = open();
  for (let n = 0; n < 1800; n += 1) sickness.well(`local/echo ${n % 600}`);
  expect(stored.proven).toHaveLength(500);
  expect(counts.proven).toBe(600);
  expect(sickness.mayTry("local/echo 0", 0, 0)).toBe(Infinity);
  expect([99, 100].map((n) => restart().mayTry(`local/echo ${n}`, 0, 0))).toEqual([2, Infinity]);
});

it("is over with a time of grace that no longer can be one, since the clock was set back", () => {
  const { sickness } = open();
  for (const host of ["a", "b"]) sickness.failed(KEY, host, "no torch", 400 * 24 * 60 * MINUTE_MS);
  expect(sickness.reason(KEY, 0)).toBeNull();
  expect(sickness.mayTry(KEY, 0, 0)).toBe(1);
  sickness.failed(KEY, "c", "no torch", 1);
  expect(sickness.reason(KEY, 2)).toContain("1970-01-01T01:00:00");
});
