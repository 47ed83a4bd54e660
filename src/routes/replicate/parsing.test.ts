import { describe, expect, it } from "vitest";
import { EdgeplaneError } from "../../contract/errors.ts";
import { parseDurationMs } from "./duration.ts";
import { parseReference } from "./find-target.ts";
import { parsePrefer } from "./prefer.ts";
import { formatEvent } from "./sse.ts";

describe("durations", () => {
  it.each([
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h30m45s", 5_445_000],
    ["1.5h", 5_400_000],
    ["90", 90_000],
    ["0.5", 500],
    [" 2m ", 120_000],
  ])("reads %j as %i ms", (text, ms) => expect(parseDurationMs(text)).toBe(ms));

  it.each(["", "s", "5d", "-5s", "1m1h", "5 m", "1e3", "∞"])("refuses %j", (text) => {
    expect(parseDurationMs(text)).toBeNull();
  });
});

describe("Prefer", () => {
  it.each([
    [undefined, { waitMs: 0, async: false }],
    ["wait", { waitMs: 60_000, async: false }],
    ["wait=5", { waitMs: 5000, async: false }],
    ['Wait="7"; foo=1', { waitMs: 7000, async: false }],
    ["return=minimal, wait=1", { waitMs: 1000, async: false }],
    ["respond-async", { waitMs: 0, async: true }],
    ["respond-async, wait=5", { waitMs: 0, async: true }],
  ])("reads %j", (header, preference) => expect(parsePrefer(header)).toEqual(preference));

  it.each(["wait=0", "wait=61", "wait=1.5", "wait=", "wait=-1"])("refuses %j", (header) => {
    expect(() => parsePrefer(header)).toThrow(EdgeplaneError);
  });
});

describe("references", () => {
  const version = "0a".repeat(32);
  it.each([
    [version, { model: null, version }],
    ["acme/hello", { model: { owner: "acme", name: "hello" }, version: null }],
    [`acme/hello:${version}`, { model: { owner: "acme", name: "hello" }, version }],
  ])("reads %s", (text, reference) => expect(parseReference(text)).toEqual(reference));
});

describe("events", () => {
  it("carry text of several lines", () => {
    expect(formatEvent({ event: "output", id: 3, data: "a\nb\r\nc" })).toBe(
      "event: output\nid: 3\ndata: a\ndata: b\ndata: c\n\n",
    );
    expect(formatEvent({ event: "output", id: 4, data: "" })).toBe("event: output\nid: 4\ndata: \n\n");
  });
});
