/** Environments on a disk that doesn't let go of one of them. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync } from "node:fs";
import type * as promises from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { collectEnvironments } from "./collect.ts";
import { keepWithin } from "./keeping.ts";
import { noteFileOf, useEnvironment, useLockOf } from "./store.ts";
import type { Used } from "./store.ts";

const { stuck } = vi.hoisted(() => ({ stuck: new Set<string>() }));
vi.mock("node:fs/promises", async (original) => {
  const actual = await original<typeof promises>();
  const rename = async (from: string, to: string): Promise<void> => {
    if (stuck.has(from)) throw Object.assign(new Error(`EPERM: not permitted, rename '${from}'`), { code: "EPERM" });
    await actual.rename(from, to);
  };
  return { ...actual, rename };
});

const root = mkdtempSync(join(tmpdir(), "edgeplane-removal-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();

/** Builds it, and nobody uses it any more. */
async function built(name: string, usedAt: number): Promise<Used> {
  const used = await useEnvironment(root, name, {
    onWait() {},
    async build(dir) {
      mkdirSync(join(dir, "bin"), { recursive: true });
      symlinkSync(python, join(dir, "bin", "python"));
      return "3.11";
    },
    async onBuilt() {},
  });
  used.release();
  utimesSync(noteFileOf(used.dir), usedAt, usedAt);
  return used;
}

test("one that can't be removed is not counted as removed, is told, and keeps no other from going", async () => {
  const [first, second] = [await built("first", 1000), await built("second", 2000)];
  stuck.add(first.dir);
  const collected = await collectEnvironments(root, 0);
  expect(collected).toMatchObject({ removed: 1, freedBytes: second.note.sizeBytes, keptBytes: first.note.sizeBytes });
  expect(collected.problem).toContain("EPERM");
  expect([existsSync(first.dir), existsSync(useLockOf(first.dir)), existsSync(second.dir)]).toEqual([
    true,
    true,
    false,
  ]);
  const lines: string[] = [];
  await keepWithin(root, 0, (line) => void lines.push(line));
  expect(lines.join("\n")).toContain(`can't be removed: EPERM: not permitted, rename '${first.dir}'`);
  // The same is built beside it.
  const again = await built("first", 3000);
  expect(basename(again.dir)).not.toBe(basename(first.dir));
  stuck.clear();
  expect((await collectEnvironments(root, 0)).problem).toBeNull();
  expect(existsSync(first.dir)).toBe(false);
});
