/** `npm start` that is stopped before the stack is up. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";

const LockSchema = z.object({ processes: z.array(z.object({ pid: z.number() })) });

test("it takes down what it had begun, also when its terminal is gone", async () => {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-stop-"));
  const models = join(dir, "models");
  mkdirSync(join(models, "model"), { recursive: true });
  writeFileSync(join(models, "model", "cog.yaml"), 'run: "run.py:Runner"\n');
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "scripts/start.ts"], {
    cwd: join(import.meta.dirname, "../.."),
    env: { ...process.env, PORT: "0", EDGEPLANE_STATE_DIR: join(dir, "state"), EDGEPLANE_MODELS: models },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  const lock = join(dir, "state", "lock.json");
  const begun = (): number[] =>
    existsSync(lock) ? LockSchema.parse(JSON.parse(readFileSync(lock, "utf8"))).processes.map(({ pid }) => pid) : [];
  try {
    await expect.poll(() => begun().length, { interval: 5 }).toBeGreaterThan(0);
    const pids = begun();
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
    child.kill("SIGHUP");
    expect(await ended).toBe(0);
    expect(existsSync(lock)).toBe(false);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  } finally {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
});
