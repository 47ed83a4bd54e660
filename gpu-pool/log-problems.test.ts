import { beforeEach, expect, test } from "vitest";
import { createLogProblems } from "./log-problems.ts";

let nowMs = 0;
let told: unknown[] = [];
let fails = false;
const http = {
  request: async ({ body }: { body?: unknown }) => {
    told.push(JSON.parse(String(body)));
    if (fails) throw new Error("away");
    return { status: 204, headers: {}, text: "" };
  },
};
const make = () => createLogProblems({ http, clock: { nowMs: () => nowMs }, pool: "host-1", lanes: () => ["a", "b"] });
const about = (lane: string, problem: string | null) => ({ pool: "host-1", lane, problem });

beforeEach(() => {
  [nowMs, told, fails] = [0, [], false];
});

test("what passes soon is not told; what lasts is told, again each minute, and once when it is over", () => {
  const problems = make();
  problems.note("a", "401");
  nowMs = 9_000;
  problems.note("a", "401");
  problems.note("a", null);
  problems.note("b", "403");
  expect(told).toEqual([]);
  for (nowMs = 20_000; nowMs < 100_000; nowMs += 1000) problems.note("b", "403");
  expect(told).toEqual([about("b", "403"), about("b", "403")]);
  problems.note("b", null);
  problems.note("b", null);
  expect(told.slice(2)).toEqual([about("b", null)]);
});

test("a log that it has no access to is told at once, whatever the log before says", () => {
  const problems = make();
  problems.noAccess("no password");
  expect(told).toEqual([about("a", "no password"), about("b", "no password")]);
  problems.note("a", null);
  expect(told).toHaveLength(2);
  problems.noAccess(null);
  expect(told.slice(2)).toEqual([about("a", null), about("b", null)]);
  problems.noAccess(null);
  expect(told).toHaveLength(4);
});

test("what could not be told is told a minute later", () => {
  const problems = make();
  fails = true;
  for (nowMs = 0; nowMs <= 69_000; nowMs += 1000) problems.note("a", "x");
  expect(told).toHaveLength(1);
  problems.note("a", "x");
  expect(told).toEqual([about("a", "x"), about("a", "x")]);
});
