import { expect, it } from "vitest";
import type { PredictionSnapshot } from "../contract/prediction.ts";
import { createHolds } from "./hold.ts";
import type { Hold } from "./hold.ts";

const QUIET = { holdMs: 1000, placeMaxAgeMs: 1000 };
const LOADED = { holdMs: 2000, placeMaxAgeMs: 6000 };

/** Reads that are all held for `tookMs` and find `status`. */
function setUp() {
  let now = 0;
  const hold = createHolds(() => now);
  const read = async (count: number, tookMs: number, status: string | null = "starting"): Promise<Hold[]> => {
    const asked: Hold[] = [];
    let release: () => void = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const reads = Array.from({ length: count }, () =>
      hold(1000, async (one) => {
        asked.push(one);
        await released;
        // Only what the hold looks at.
        return status === null ? null : ({ status } as PredictionSnapshot);
      }),
    );
    now += tookMs;
    release();
    await Promise.all(reads);
    return asked;
  };
  return { read, hold, pass: (ms: number) => (now += ms) };
}

it("holds longer once many holds ended without a change, and as usual when they are few again", async () => {
  const { read, pass } = setUp();
  expect(await read(49, 1000)).toEqual(Array.from({ length: 49 }, () => QUIET));
  expect(await read(1, 0)).toEqual([QUIET]);
  expect(await read(1, 900)).toEqual([QUIET]);
  pass(4000);
  await read(50, 1000);
  expect(await read(50, 2000)).toEqual(Array.from({ length: 50 }, () => LOADED));
  expect(await read(1, 2000)).toEqual([LOADED]);
  pass(4000);
  expect(await read(1, 1000)).toEqual([QUIET]);
});

it.each([
  ["end early", 10, "processing"],
  ["find what has ended", 1000, "succeeded"],
  ["find nothing", 1000, null],
])("holds no longer for reads that %s, however many", async (_, tookMs, status) => {
  const { read } = setUp();
  await read(1000, tookMs, status);
  expect(await read(1, 1000)).toEqual([QUIET]);
});

it("does not hold what asks not to be held, however many others are", async () => {
  const { read, hold } = setUp();
  await read(1000, 1000);
  let asked: Hold | null = null;
  await hold(0, async (one) => {
    asked = one;
    return null;
  });
  expect(asked).toEqual({ holdMs: 0, placeMaxAgeMs: 1000 });
});

it("is not misled by reads that never come back", async () => {
  const { read, hold } = setUp();
  for (let index = 0; index < 1000; index += 1) void hold(1000, () => new Promise(() => {}));
  expect(await read(1, 1000)).toEqual([QUIET]);
});
