import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { withLock } from "./lock.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "lock");

test.runIf(process.platform === "linux").each([
  ["this process's number", `${process.pid} 1\n`],
  ["a number that another process has now", `${process.ppid} 1\n`],
  ["a number that nobody has", "4194304 1\n"],
])(
  "a lock of an earlier life is taken over: %s",
  async (_whose, text) => {
    writeFileSync(path, text);
    await expect(
      withLock(
        path,
        () => {},
        async () => "done",
      ),
    ).resolves.toBe("done");
    expect(existsSync(path)).toBe(false);
  },
  3000,
);

test("two tasks of one process take turns", async () => {
  const said: string[] = [];
  const secondWaits = Promise.withResolvers<void>();
  const task = (name: string) =>
    withLock(path, secondWaits.resolve, async () => {
      said.push(`${name} begins`);
      // Whoever comes first keeps it until the other one has found it taken.
      await secondWaits.promise;
      said.push(`${name} ends`);
    });
  await Promise.all([task("a"), task("b")]);
  expect([
    ["a begins", "a ends", "b begins", "b ends"],
    ["b begins", "b ends", "a begins", "a ends"],
  ]).toContainEqual(said);
});
