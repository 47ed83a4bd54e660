import { readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { runCommand } from "./command.ts";

/** Long before the 60 s that what it started would take. */
const soonMs = 30_000;

/** Whether the process that a command printed the number of still runs; one that nobody has waited for yet doesn't. */
function runs(pid: string): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid.trim()}/stat`, "utf8"));
  } catch {
    return false;
  }
}

test(
  "what a command leaves running in the background doesn't keep it from ending, and ends with it",
  async () => {
    const { code, stdout } = await runCommand("sh", ["-c", "sleep 60 & echo $!"]);
    expect(code).toBe(0);
    await expect.poll(() => runs(stdout)).toBe(false);
  },
  soonMs,
);

test(
  "a command that takes too long ends with all that it started",
  async () => {
    const { timedOut, stdout } = await runCommand("sh", ["-c", "sleep 60 & echo $!; wait"], { timeoutMs: 200 });
    expect(timedOut).toBe(true);
    await expect.poll(() => runs(stdout)).toBe(false);
  },
  soonMs,
);

test("a command that does not exist is missing", async () => {
  expect(await runCommand("edgeplane-no-such-command", [])).toMatchObject({ missing: true });
});

afterEach(() => vi.unstubAllEnvs());

test("what installs a model's packages sees none of the pool's secrets", async () => {
  for (const name of ["EDGEPLANE_POOL_TOKEN", "EDGEPLANE_LOG_PASSWORD", "EDGEPLANE_KV_TOKEN"])
    vi.stubEnv(name, "secret");
  const { code, stdout } = await runCommand(process.execPath, ["-p", "JSON.stringify(process.env)"], {
    env: { GIVEN: "yes" },
  });
  expect(code).toBe(0);
  expect(stdout).toContain('"GIVEN":"yes"');
  expect(stdout).not.toContain("secret");
});
