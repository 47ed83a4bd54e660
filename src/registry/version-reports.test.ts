import { expect, test } from "vitest";
import { againInMs, judge, reportOf } from "./version-reports.ts";
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

test("three hosts that failed at the same stage are enough, however many others there are", () => {
  const two = { a: said("setup", 1), b: said("setup", 1) };
  expect(judged({ ...two, c: said("fetch", 1) }, "a", "b", "c", "d")).toBe(0);
  expect(judged({ ...two, c: said("setup", 1) }, "a", "b", "c", "d")).toBe(2);
});

test("a host tries again at once, and then ever more rarely", () => {
  expect([1, 2, 3, 4, 5, 50].map(againInMs)).toEqual([1000, 30_000, 60_000, 120_000, 240_000, 240_000]);
});
