import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { tryLock, withLock } from "./host-lock.ts";
import type { HostLock } from "./host-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = (): string => join(folder, `lock-${(files += 1)}`);

/** Another process that has the lock. `isFull`: the system lets it write nothing to any file. */
async function holder(path: string, how: "exclusive" | "shared", isFull = false): Promise<ChildProcess> {
  const module = fileURLToPath(new URL("./host-lock.ts", import.meta.url));
  const code = `import { tryLock } from ${JSON.stringify(module)};
    console.log(tryLock(${JSON.stringify(path)}, ${JSON.stringify(how)}) === null ? "none" : "held");
    setInterval(() => {}, 1000);`;
  const command = [process.execPath, "--input-type=module-typescript", "-e", code];
  const [program = "", ...args] = isFull ? ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", ...command] : command;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said = new Promise<string>((resolve) => child.stdout.setEncoding("utf8").once("data", resolve));
  expect(await Promise.race([said, once(child, "exit")])).toBe("held\n");
  return child;
}

function taken(path: string, how: "exclusive" | "shared"): HostLock {
  const lock = tryLock(path, how);
  if (lock === null) throw new Error("it is held");
  return lock;
}

test("one holds it alone, or several share it, also within one process", () => {
  const path = newPath();
  const alone = taken(path, "exclusive");
  expect(tryLock(path, "exclusive")).toBeNull();
  expect(tryLock(path, "shared")).toBeNull();
  alone.release();
  const first = taken(path, "shared");
  const second = taken(path, "shared");
  expect(tryLock(path, "exclusive")).toBeNull();
  first.release();
  first.release();
  expect(tryLock(path, "exclusive")).toBeNull();
  second.release();
  taken(path, "exclusive").release();
});

test.each(["exclusive", "shared"] as const)("a process that is killed gives it back: %s", async (how) => {
  const path = newPath();
  const child = await holder(path, how);
  expect(tryLock(path, "exclusive")).toBeNull();
  child.kill("SIGKILL");
  await once(child, "exit");
  taken(path, "exclusive").release();
});

test.each(["exclusive", "shared"] as const)("it can be had where nothing can be written: %s", async (how) => {
  const path = newPath();
  await holder(path, how, true);
  expect(tryLock(path, "exclusive")).toBeNull();
});

test("several processes share it, and who wants it alone waits for all of them", async () => {
  const path = newPath();
  const [one, other] = await Promise.all([holder(path, "shared"), holder(path, "shared")]);
  const waits = Promise.withResolvers<void>();
  let isMine = false;
  const mine = withLock(path, waits.resolve, async () => void (isMine = true));
  await waits.promise;
  one.kill("SIGKILL");
  await once(one, "exit");
  expect(tryLock(path, "exclusive")).toBeNull();
  expect(isMine).toBe(false);
  other.kill("SIGKILL");
  await mine;
  expect(isMine).toBe(true);
});

test("what a task leaves by an error is free again", async () => {
  const path = newPath();
  const failing = withLock(
    path,
    () => {},
    async () => {
      throw new Error("no");
    },
  );
  await expect(failing).rejects.toThrow("no");
  taken(path, "exclusive").release();
});

test("where the file can't be made, the error says so and nobody waits", () => {
  writeFileSync(join(folder, "file"), "");
  expect(() => tryLock(join(folder, "file", "lock"), "exclusive")).toThrow(/ENOTDIR|EEXIST/);
});
