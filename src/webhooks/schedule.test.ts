import { describe, expect, it } from "vitest";
import { MAX_AGE_MS, MAX_RETRY_AFTER_MS, nextDelayMs, parseRetryAfter, retryDelaysMs } from "./schedule.ts";

const HOUR_MS = 3_600_000;

describe("the schedule", () => {
  it("spreads eleven tries over three days", () => {
    const total = retryDelaysMs.reduce((sum, delay) => sum + delay, 0);
    expect(retryDelaysMs).toHaveLength(10);
    expect(total).toBeGreaterThan(71 * HOUR_MS);
    expect(total * 1.1).toBeLessThan(MAX_AGE_MS);
  });

  it("moves each delay by a tenth at most, and ends", () => {
    expect(nextDelayMs(1, null, 0)).toBe(900);
    expect(nextDelayMs(1, null, 0.5)).toBe(1000);
    expect(nextDelayMs(10, null, 0.9999)).toBeLessThanOrEqual(22 * HOUR_MS);
    expect(nextDelayMs(11, null, 0.5)).toBeNull();
  });

  it("obeys Retry-After when it is longer, up to an hour", () => {
    expect(nextDelayMs(1, 30_000, 0.5)).toBe(30_000);
    expect(nextDelayMs(4, 30_000, 0.5)).toBe(1_800_000);
    expect(nextDelayMs(1, 10 * HOUR_MS, 0.5)).toBe(MAX_RETRY_AFTER_MS);
  });
});

describe("parseRetryAfter", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  it.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["Thu, 01 Jan 2026 00:01:00 GMT", 60_000],
    ["Wed, 31 Dec 2025 00:00:00 GMT", null],
    ["soon", null],
    ["-5", null],
    ["1.5", null],
    ["", null],
    [null, null],
    ["9999999999999999", null],
  ])("reads %j as %j", (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected);
  });
});
