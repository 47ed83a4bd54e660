import { expect, test } from "vitest";
import { lineOf, sizeOf } from "./report.ts";

test("sizes are in powers of ten, with two digits that count", () => {
  const sizes = [0, 999, 1000, 9_949, 99_500, 999_499, 999_500, 1_500_000_000, 2e15];
  expect(sizes.map(sizeOf)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "9.9 kB",
    "100 kB",
    "999 kB",
    "1.0 MB",
    "1.5 GB",
    "2000 TB",
  ]);
});

test("the line tells what is read until all is, then what is sent, how fast, and how long that takes", () => {
  const [none, half, full] = [" ".repeat(20), `${"=".repeat(10)}${" ".repeat(10)}`, "=".repeat(20)];
  const total = 4_000_000;
  expect(lineOf({ total, hashed: 0, missing: 0, sent: 0 }, 0)).toBe(`[${none}] 0 B of 4.0 MB read`);
  expect(lineOf({ total, hashed: 2e6, missing: 2e6, sent: 1e6 }, 500_000)).toBe(
    `[${half}] 1.0 MB of 2.0 MB sent · 500 kB/s · 2 s left · 2.0 MB of 4.0 MB read`,
  );
  expect(lineOf({ total, hashed: total, missing: 2e9, sent: 1e9 }, 1e6)).toBe(
    `[${half}] 1.0 GB of 2.0 GB sent · 1.0 MB/s · 17 min left`,
  );
  expect(lineOf({ total, hashed: total, missing: 0, sent: 0 }, 0)).toBe(`[${full}] `);
});
