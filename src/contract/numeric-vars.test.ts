import { expect, it } from "vitest";
import { numericVar } from "./numeric-vars.ts";

it("reads a whole number, and the usual one where there is none", () => {
  expect(numericVar({ SHARD_COUNT: " 16 " }, "SHARD_COUNT")).toBe(16);
  expect(numericVar({ SHARD_COUNT: "" }, "SHARD_COUNT")).toBe(1024);
  expect(numericVar({}, "LOG_RETENTION_MS")).toBe(604_800_000);
});

it("takes nothing else, and says so", () => {
  for (const text of ["0", "1025", "-1", "1.5", "1e2", "many", "0x10"]) {
    expect(() => numericVar({ SHARD_COUNT: text }, "SHARD_COUNT")).toThrow(/^SHARD_COUNT is ".*from 1 to 1024$/);
  }
  expect(() => numericVar({ LOG_RETENTION_BYTES: "64 MiB" }, "LOG_RETENTION_BYTES")).toThrow(/of 1 or more$/);
});
