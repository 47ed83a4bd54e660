import { appendFileSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { openJournal } from "./journal.ts";
import { createSpool } from "./spool.ts";

const disk = vi.hoisted(() => ({ isFull: false, isNearlyFull: false }));
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const unlessFull =
    <A extends unknown[], R>(write: (...given: A) => R) =>
    (...given: A): R => {
      if (disk.isFull) throw new Error("ENOSPC: no space left on device");
      return write(...given);
    };
  /** As the system does it: a part is written, and only the next write fails. */
  const writeSync = (file: number, text: string): number => {
    if (!disk.isNearlyFull) return fs.writeSync(file, text);
    [disk.isNearlyFull, disk.isFull] = [false, true];
    return fs.writeSync(file, text.slice(0, text.length / 2));
  };
  return { ...fs, writeSync: unlessFull(writeSync), writeFileSync: unlessFull(fs.writeFileSync) };
});

const claim = (name: string) => ({ id: `id-${name}`, token: `token-${name}` });

function fresh(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `edgeplane-${name}-`));
  return join(dir, name);
}

test("knows after a kill what was held and never ended, and a torn line does no harm", () => {
  const path = fresh("journal");
  const first = openJournal(path);
  expect(first.left).toEqual([]);
  first.held([claim("a"), claim("b")]);
  first.ended(["token-a"]);
  appendFileSync(path, '{"held":"id-c","tok');
  const second = openJournal(path);
  expect(second.left).toEqual([claim("b")]);
  second.ended(["token-b"]);
  second.close();
  expect(openJournal(path).left).toEqual([]);
});

test("knows what only waited for a slot, after a kill, and after one more", () => {
  const path = fresh("waits");
  const first = openJournal(path);
  first.held(["a", "b", "c", "d"].map(claim));
  first.waits(["token-a", "token-b", "token-c", "token-unknown"]);
  first.begins(["token-b", "token-d"]);
  first.ended(["token-c"]);
  const left = [{ ...claim("a"), waits: true }, claim("b"), claim("d")];
  expect(openJournal(path).left).toEqual(left);
  const third = openJournal(path);
  expect(third.left).toEqual(left);
  third.begins(["token-a"]);
  expect(openJournal(path).left).toEqual(["a", "b", "d"].map(claim));
});

test("believes only its own boot who waited: a machine that dies may lose the line that it began", () => {
  const path = fresh("boot");
  const first = openJournal(path);
  first.held(["a", "b"].map(claim));
  first.waits(["token-a"]);
  const [waitsIn = ""] = /[0-9a-f-]{36}/.exec(readFileSync(path, "utf8")) ?? [];
  openJournal(path).waits(["token-b"]);
  writeFileSync(path, readFileSync(path, "utf8").replaceAll(waitsIn, "another-boot"));
  expect(openJournal(path).left).toEqual(["a", "b"].map(claim));
});

test("a disk that refuses to note a begin leaves nobody noted as waiting", () => {
  const path = fresh("begins");
  const journal = openJournal(path);
  journal.held([claim("a")]);
  journal.waits(["token-a"]);
  disk.isFull = true;
  journal.begins(["token-a"]);
  disk.isFull = false;
  expect(openJournal(path).left).toEqual([]);
  journal.held([claim("b")]);
  expect(openJournal(path).left).toEqual(["a", "b"].map(claim));
});

test("does not grow for ever", () => {
  const path = fresh("journal");
  const journal = openJournal(path);
  for (let index = 0; index < 5000; index += 1) {
    journal.held([claim(String(index))]);
    journal.ended([`token-${index}`]);
  }
  expect(statSync(path).size).toBeLessThan(200_000);
  journal.held([claim("last")]);
  expect(openJournal(path).left).toEqual([claim("last")]);
});

test("the spool gives back what it was given, and puts aside what it can't read", () => {
  const dir = fresh("spool");
  const events = [{ id: "id", token: "token", seq: 3, type: "succeeded" as const, output: { deep: [1, null] } }];
  const spool = createSpool(dir);
  spool.keep("id", "token", events);
  spool.keep("id2", "token2", [{ ...events[0], id: "id2", token: "token2" } as never]);
  spool.drop("id2", "token2");
  writeFileSync(join(dir, "x.json"), "{");
  writeFileSync(join(dir, "y.json.part"), "[");
  const next = createSpool(dir);
  expect(next.load()).toEqual({ claims: [events], bad: ["x.json"] });
  expect(next.size).toBe(1);
  next.drop("id", "token");
  expect(createSpool(dir).load()).toEqual({ claims: [], bad: [] });
});

test("a disk that is full stops nobody, and the journal has it all when there is room again", () => {
  const path = fresh("journal");
  const problems: string[] = [];
  const journal = openJournal(path, (problem) => problems.push(problem));
  journal.held([claim("a"), claim("b")]);
  disk.isFull = true;
  journal.held([claim("c")]);
  journal.ended(["token-a"]);
  expect(problems).toEqual(["ENOSPC: no space left on device"]);
  disk.isFull = false;
  journal.held([claim("d")]);
  expect(openJournal(path).left).toEqual([claim("b"), claim("c"), claim("d")]);
});

test("a disk that takes a part of a line has it written anew, and nothing behind it is lost", () => {
  const path = fresh("part");
  const problems: string[] = [];
  const journal = openJournal(path, (problem) => problems.push(problem));
  journal.held([claim("a")]);
  disk.isNearlyFull = true;
  try {
    journal.held([claim("b")]);
  } finally {
    disk.isFull = false;
  }
  journal.held([claim("c")]);
  journal.ended(["token-a"]);
  expect(openJournal(path).left).toEqual(["b", "c"].map(claim));
  expect(problems).toHaveLength(1);
});
