import { expect, test } from "vitest";
import { againInMs, isTriedTooLittle, judge, reportOf } from "./version-reports.ts";
import type { Reports } from "./version-reports.ts";

const said = (stage: "fetch" | "build" | "setup", tries?: number) => reportOf({ stage, tries });
const judged = (reports: Reports, ...hosts: string[]) => judge(reports, hosts);

test("the only host fails a version by its second try; one that counts none, by its first", () => {
  expect(judged({}, "a")).toBe(0);
  expect(judged({ a: said("setup", 1) }, "a")).toBe(0);
  expect(judged({ a: said("setup", 2) }, "a")).toBe(1);
  expect(judged({ a: said("setup") }, "a")).toBe(1);
  expect(judged({ a: said("setup", 1) })).toBe(0);
  expect(judged({ a: said("setup", 2) })).toBe(1);
});

test("one of several fails it only when all have tried, or the others say nothing for long", () => {
  expect(judged({ a: said("setup", 2) }, "a", "b")).toBe(0);
  expect(judged({ a: said("setup", 1), b: said("build", 1) }, "a", "b")).toBe(1);
  expect(judged({ a: said("setup", 3) }, "a", "b")).toBe(0);
  expect(judged({ a: said("setup", 4) }, "a", "b")).toBe(1);
});

test("hosts of three tokens that failed at the same stage end all tries, however many others there are", () => {
  const two = { "1\na": said("setup", 1), "2\na": said("setup", 1) };
  expect(judged({ ...two, "3\na": said("fetch", 1) }, "1\na", "2\na", "3\na", "4\na")).toBe(0);
  expect(judged({ ...two, "3\na": said("setup", 1) }, "1\na", "2\na", "3\na", "4\na")).toBe(2);
});

test("any number of names that one token gives ends no tries of other tokens", () => {
  const names = Array.from({ length: 9 }, (_, n) => [`1\n${n}`, said("setup", 1)] as const);
  expect(judged(Object.fromEntries(names.slice(0, 2)), "1\n0", "2\na")).toBe(0);
  expect(judged(Object.fromEntries(names), "1\n0", "2\na")).toBe(1);
  expect(judged({ ...Object.fromEntries(names), "2\na": said("setup", 9) }, "1\n0", "2\na")).toBe(1);
});

test("a token's hosts try twice together, whatever others say", () => {
  const strangers = { "1\na": said("setup", 9), "1\nb": said("setup", 9) };
  expect(isTriedTooLittle(strangers, "2")).toBe(true);
  expect(isTriedTooLittle({ ...strangers, "2\na": said("setup", 1) }, "2")).toBe(true);
  expect(isTriedTooLittle({ "2\na": said("setup", 1), "2\nb": said("setup", 1) }, "2")).toBe(false);
  expect(isTriedTooLittle({ "2\na": said("setup") }, "2")).toBe(false);
});

test("a host tries again at once, and then ever more rarely", () => {
  expect([1, 2, 3, 4, 5, 50].map(againInMs)).toEqual([1000, 30_000, 60_000, 120_000, 240_000, 240_000]);
});
