import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { askProgram } from "./ask-program.ts";
import { checkDevice } from "./device-check.ts";

afterEach(() => void vi.useRealTimers());

// Node throws at once for a name like this, as it does where the system has no memory for another process.
const UNSTARTABLE = "no\0program";

test("a program answers, or is given up after its limit", async () => {
  expect(await askProgram("sh", ["-c", "echo said; exit 3"], 60_000)).toMatchObject({
    stdout: "said\n",
    error: { code: 3 },
  });
  expect(await askProgram("sleep", ["60"], 10)).toBeNull();
});

test("what hangs is asked no more while two of it have not ended, and again once they have", async () => {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-ask-"));
  try {
    const program = join(dir, "smi");
    const started = join(dir, "started");
    // Whatever the signal does to the shell, what it waits for holds on to its output.
    writeFileSync(program, `#!/bin/sh\necho . >> ${started}\nsleep 1\n`, { mode: 0o755 });
    const ask = (limitMs: number) => askProgram(program, [], limitMs);
    for (let look = 0; look < 5; look += 1) expect(await ask(100)).toBeNull();
    expect(readFileSync(started, "utf8")).toBe(".\n.\n");
    await vi.waitFor(async () => expect(await ask(5000)).toMatchObject({ error: null }), { timeout: 20_000 });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("where no program can be started, that is told at once, and nothing is left to happen later", async () => {
  vi.useFakeTimers();
  await expect(askProgram(UNSTARTABLE, [], 1000)).rejects.toThrow("null bytes");
  expect(vi.getTimerCount()).toBe(0);
  expect(await checkDevice("0", UNSTARTABLE)).toMatchObject({ state: "unknown" });
});
