import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { watch } from "./watch.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanups.splice(0)) await cleanUp();
});

/** A child of this process that does nothing; resolves once it runs its program. */
async function start(cwd: string, args: string[]): Promise<number | undefined> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", ...args], { cwd });
  cleanups.push(async () => {
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  });
  await once(child, "spawn");
  return child.pid;
}

test("a pool's model processes are watched, and not what it asks for a moment", async () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-watch-"));
  const model = await start(folder, ["edgeplane_child"]);
  await start(tmpdir(), []);
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const held = watch({ pids: () => ({ edge: null, workerd: null, pool: process.pid }) });
  expect([...held.keys()]).toEqual(["pool", `model ${basename(folder)}`]);
  expect(held.get(`model ${basename(folder)}`)?.pid).toBe(model);
});
