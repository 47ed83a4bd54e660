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
  const open = [{ fromMs: 1_000_000, toMs: null }];
  expect(noted()).toEqual({ living: open, working: open });
  vi.setSystemTime(1_001_000);
  const second = lives.began();
  first.ended();
  first.ended();
  vi.setSystemTime(1_002_000);
  expect(noted()).toEqual({ living: open, working: open });
  second.ended();
  second.works();
  const closed = [{ fromMs: 1_000_000, toMs: 1_002_000 }];
  expect(noted()).toEqual({ living: closed, working: closed });
  vi.setSystemTime(1_009_000);
  lives.began();
  lives.close();
  const spans = [
    { fromMs: 999_900, toMs: 1_002_000 },
    { fromMs: 1_008_900, toMs: 1_009_000 },
  ];
  expect(readLives([dir])).toEqual({ living: spans, working: spans });
});

test("a model works until all its processes rest, and 5 s more; the disk hears of it with the next beat", () => {
  const { clock, pass } = createHandClock();
  const lives = new ModelLives(dir, "a", clock);
  const [first, second] = [lives.began(), lives.began()];
  vi.setSystemTime(1_010_000);
  first.rests();
  first.rests();
  vi.setSystemTime(1_020_000);
  second.rests();
  vi.setSystemTime(1_024_000);
  first.works();
  vi.setSystemTime(1_025_000);
  first.rests();
  vi.setSystemTime(1_040_000);
  first.works();
  const before = noted();
  vi.setSystemTime(1_041_000);
  first.rests();
  expect(noted()).toEqual(before);
  pass(5000);
  vi.setSystemTime(1_060_000);
  second.ended();
  first.ended();
  expect(readLives([dir])).toEqual({
    living: [{ fromMs: 999_900, toMs: 1_060_000 }],
    working: [
      { fromMs: 999_900, toMs: 1_030_000 },
      { fromMs: 1_039_900, toMs: 1_046_000 },
    ],
  });
});

test("no work reaches beyond its life", () => {
  const { clock } = createHandClock();
  const life = new ModelLives(dir, "a", clock).began();
  vi.setSystemTime(1_001_000);
  life.rests();
  vi.setSystemTime(1_003_000);
  life.ended();
  expect(readLives([dir]).working).toEqual([{ fromMs: 999_900, toMs: 1_003_000 }]);
});

test("work that goes on in the next life reaches as far as that", () => {
  const { clock } = createHandClock();
  const lives = new ModelLives(dir, "a", clock);
  lives.began().ended();
  vi.setSystemTime(1_001_000);
  const life = lives.began();
  vi.setSystemTime(1_002_000);
  life.rests();
  vi.setSystemTime(1_060_000);
  life.ended();
  expect(readLives([dir]).working).toEqual([{ fromMs: 999_900, toMs: 1_007_000 }]);
});

test("while a process lives the note is touched, also one that somebody deleted; then no more", () => {
  const { clock, pass } = createHandClock();
  const life = new ModelLives(dir, "a", clock).began();
  life.rests();
  pass(5000);
  vi.setSystemTime(1_020_000);
  pass(5000);
  expect(statSync(note).mtimeMs).toBe(1_020_000);
  // What it did since is not known.
  expect(readLives([dir])).toEqual({
    living: [{ fromMs: 999_900, toMs: 1_030_000 }],
    working: [
      { fromMs: 999_900, toMs: 1_005_000 },
      { fromMs: 1_020_000, toMs: 1_030_000 },
    ],
  });
  rmSync(note);
  pass(5000);
  expect(existsSync(note)).toBe(true);
  life.ended();
  rmSync(note);
  pass(60_000);
  expect(existsSync(note)).toBe(false);
});

test("a model that restarts all the time fills no disk", () => {
  const { clock } = createHandClock();
  const lives = new ModelLives(dir, "a", clock);
  for (let index = 0; index < 110; index += 1) {
    vi.setSystemTime(1_000_000 + index * 10_000);
    lives.began().ended();
  }
  const { living, working } = readLives([dir]);
  expect([living.length, working.length]).toEqual([100, 100]);
  expect([living[0]?.fromMs, living[0]?.toMs]).toEqual([999_900, 1_100_000]);
});

test("a folder that can't be written to stops no process", () => {
  const { clock, pass } = createHandClock();
  writeFileSync(join(dir, "file"), "");
  const life = new ModelLives(join(dir, "file"), "a", clock).began();
  pass(10_000);
  life.ended();
  expect(readLives([join(dir, "file")])).toEqual({ living: [], working: [] });
});

test("what is over is forgotten, of this pool all; a life that goes on in another pool is not, and a torn note tells nothing", () => {
  const open = '{"living":[{"fromMs":1,"toMs":null}],"working":[]}';
  const texts = { mine: open, live: open, dead: open, over: open.replace("null", "2"), torn: "[{" };
  for (const [name, text] of Object.entries(texts)) {
    const path = join(dir, `lives-${name}.json`);
    writeFileSync(path, text);
    const touchedAt = new Date(Date.now() - (name === "dead" ? 60_000 : 0));
    utimesSync(path, touchedAt, touchedAt);
  }
  expect(readLives([dir]).living).toHaveLength(4);
  forgetLives(dir, "mine");
  expect(readLives([dir]).living).toEqual([{ fromMs: -99, toMs: 1_010_000 }]);
  expect(existsSync(join(dir, "lives-live.json"))).toBe(true);
});
