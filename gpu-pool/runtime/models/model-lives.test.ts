import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createHandClock } from "../../../test/unit/hand-clock.ts";
import { forgetLives, ModelLives, readLives } from "./model-lives.ts";

let dir = "";
let note = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "edgeplane-lives-"));
  note = join(dir, "lives-a.json");
  vi.useFakeTimers({ toFake: ["Date"], now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true, force: true });
});

const noted = (): unknown => JSON.parse(readFileSync(note, "utf8"));

test("a life is from the first process to the last, and is noted before the first begins", () => {
  const { clock } = createHandClock();
  const lives = new ModelLives(dir, "a", clock);
  expect(existsSync(note)).toBe(false);
  const first = lives.began();
  expect(noted()).toEqual([{ fromMs: 1_000_000, toMs: null }]);
  vi.setSystemTime(1_001_000);
  const second = lives.began();
  first();
  first();
  vi.setSystemTime(1_002_000);
  expect(noted()).toEqual([{ fromMs: 1_000_000, toMs: null }]);
  second();
  expect(noted()).toEqual([{ fromMs: 1_000_000, toMs: 1_002_000 }]);
  vi.setSystemTime(1_009_000);
  lives.began();
  lives.close();
  expect(readLives(dir)).toEqual([
    { fromMs: 999_900, toMs: 1_002_000 },
    { fromMs: 1_008_900, toMs: 1_009_000 },
  ]);
});

test("while a process lives the note is touched, also one that somebody deleted; then no more", () => {
  const { clock, pass } = createHandClock();
  const ended = new ModelLives(dir, "a", clock).began();
  vi.setSystemTime(1_005_000);
  pass(5000);
  expect(statSync(note).mtimeMs).toBe(1_005_000);
  expect(readLives(dir)).toEqual([{ fromMs: 999_900, toMs: 1_015_000 }]);
  rmSync(note);
  pass(5000);
  expect(noted()).toEqual([{ fromMs: 1_000_000, toMs: null }]);
  ended();
  rmSync(note);
  pass(60_000);
  expect(existsSync(note)).toBe(false);
});

test("a model that restarts all the time fills no disk", () => {
  const { clock } = createHandClock();
  const lives = new ModelLives(dir, "a", clock);
  for (let index = 0; index < 110; index += 1) lives.began()();
  const all = readLives(dir);
  expect(all).toHaveLength(100);
  expect(all[0]?.fromMs).toBe(999_900);
});

test("a folder that can't be written to stops no process", () => {
  const { clock, pass } = createHandClock();
  writeFileSync(join(dir, "file"), "");
  const ended = new ModelLives(join(dir, "file"), "a", clock).began();
  pass(10_000);
  ended();
  expect(readLives(join(dir, "file"))).toEqual([]);
});

test("what is over is forgotten, of this pool all; a life that goes on in another pool is not, and a torn note tells nothing", () => {
  const open = '[{"fromMs":1,"toMs":null}]';
  const texts = { mine: open, live: open, dead: open, over: '[{"fromMs":1,"toMs":2}]', torn: "[{" };
  for (const [name, text] of Object.entries(texts)) {
    const path = join(dir, `lives-${name}.json`);
    writeFileSync(path, text);
    const touchedAt = new Date(Date.now() - (name === "dead" ? 60_000 : 0));
    utimesSync(path, touchedAt, touchedAt);
  }
  expect(readLives(dir)).toHaveLength(4);
  forgetLives(dir, "mine");
  expect(readLives(dir)).toEqual([{ fromMs: -99, toMs: 1_010_000 }]);
  expect(existsSync(join(dir, "lives-live.json"))).toBe(true);
});
