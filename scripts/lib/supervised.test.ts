import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { createSupervised } from "./supervised.ts";

afterEach(() => void vi.useRealTimers());

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
  const giveUpAt = performance.now() + 15_000;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error("it did not happen");
    await new Promise((resolve) => setImmediate(resolve));
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
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  supervised.start();
  for (const [deaths, pauseMs] of [
    [1, 0],
    [2, 250],
    [3, 500],
  ] as const) {
    await until(() => pauses.length === deaths);
    expect(pauses.at(-1)).toBe(pauseMs);
    if (pauseMs > 0) vi.advanceTimersByTime(pauseMs - 1);
    expect(starts()).toBe(deaths);
    if (deaths < 3) vi.advanceTimersByTime(1);
  }
  await supervised.stop();
  vi.advanceTimersByTime(600);
  expect(starts()).toBe(3);
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
