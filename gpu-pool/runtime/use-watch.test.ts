import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { memoryOf, UseWatch } from "./use-watch.ts";

const MIB = 1024 * 1024;
/** Two processes of a group, and one that left it, each with 40 MiB; then it says so. */
const CODE = `
import os, sys, time
for leaves in (False, True):
    if os.fork() == 0:
        if leaves:
            os.setsid()
        break
block = b"x" * (40 * ${MIB})
print("full", flush=True)
time.sleep(60)
`;

test.skipIf(process.platform !== "linux")("the memory of a process counts with all that it started", async () => {
  const child = spawn("python3", ["-c", CODE], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const { pid = 0 } = child;
  try {
    await expect.poll(() => said.match(/full/g)?.length).toBe(3);
    const used = memoryOf(pid);
    expect(used).toBeGreaterThan(120 * MIB);
    expect(used).toBeLessThan(250 * MIB);
    expect(new UseWatch({ memoryBytes: 100 * MIB, scratchBytes: null }, "/none").problem(pid)).toMatch(
      /^out of memory: /,
    );
    expect(new UseWatch({ memoryBytes: 300 * MIB, scratchBytes: null }, "/none").problem(pid)).toBeNull();
    expect(new UseWatch({ memoryBytes: null, scratchBytes: null }, "/none").problem(pid)).toBeNull();
  } finally {
    process.kill(-pid, "SIGKILL");
  }
  expect(memoryOf(2 ** 30)).toBe(0);
});

test("a scratch folder that holds too much is told of", async () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-use-"));
  try {
    const watch = new UseWatch({ memoryBytes: null, scratchBytes: MIB }, folder);
    const looks = (): string | null => Array.from({ length: 5 }, () => watch.problem(process.pid)).at(-1) ?? null;
    expect(looks()).toBeNull();
    writeFileSync(join(folder, "large"), "x".repeat(2 * MIB));
    await expect.poll(looks).toMatch(/scratch folder holds \d+ bytes, and may hold 1048576/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
