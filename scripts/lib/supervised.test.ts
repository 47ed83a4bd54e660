import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createSupervised } from "./supervised.ts";

function supervise(script: string) {
  const pauses: number[] = [];
  let starts = 0;
  const supervised = createSupervised({
    name: "test",
    stopMs: 300,
    askToStop: (child) => child.kill("SIGTERM"),
    spawn: () => {
      starts++;
      return spawn("sh", ["-c", script], { stdio: "ignore" });
    },
    onExit: ({ pauseMs }) => pauses.push(pauseMs),
  });
  return { supervised, pauses, starts: () => starts };
}

async function until(holds: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 5000;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error("it did not happen");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a killed process is started again at once", async () => {
  const { supervised, pauses } = supervise("exec sleep 30");
  supervised.start();
  const first = supervised.pid;
  supervised.kill();
  await until(() => supervised.pid !== null && supervised.pid !== first);
  expect(pauses).toEqual([0]);
  await supervised.stop();
});

test("one that dies again and again is started after pauses that double", async () => {
  const { supervised, pauses, starts } = supervise("exit 1");
  supervised.start();
  await until(() => pauses.length === 3);
  expect(pauses).toEqual([0, 250, 500]);
  await supervised.stop();
  const before = starts();
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(starts()).toBe(before);
});

test("one that ignores the request to leave is killed, and stays away", async () => {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-supervised-"));
  const listens = join(dir, "listens-no-more");
  const { supervised, pauses } = supervise(`trap '' TERM; : > ${listens}; while :; do sleep 0.05; done`);
  supervised.start();
  await until(() => existsSync(listens));
  const startedAt = performance.now();
  await supervised.stop();
  rmSync(dir, { recursive: true });
  expect(performance.now() - startedAt).toBeGreaterThan(250);
  expect(supervised.pid).toBeNull();
  expect(pauses).toEqual([]);
});
