import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isRunning, refOf, startTimeOf } from "./process-info.ts";
import { StackError } from "./stack-error.ts";
import { takeLock } from "./stack-lock.ts";

let dir = "";
const children: ChildProcess[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "edgeplane-lock-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

function sleeper(): number {
  const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
  children.push(child);
  if (child.pid === undefined) throw new Error("sleep did not start");
  return child.pid;
}

const gone = { name: "supervisor", pid: 999_999_9, startedAt: "1" };
const writeEarlier = (lock: object) => writeFileSync(join(dir, "lock.json"), JSON.stringify(lock));

test("ends the orphans of a dead supervisor, and only those", async () => {
  const [orphan, stranger] = [sleeper(), sleeper()];
  const orphanRef = refOf("workerd", orphan);
  // The stranger has the number of a process that the earlier run had, but began at another time.
  writeEarlier({ port: 1, supervisor: gone, processes: [orphanRef, { name: "pool", pid: stranger, startedAt: "42" }] });
  const ended: string[] = [];
  const lock = await takeLock(dir, 1, (ref) => ended.push(ref.name));
  expect(ended).toEqual(["workerd"]);
  expect(orphanRef !== null && isRunning(orphanRef)).toBe(false);
  expect(startTimeOf(stranger)).not.toBeNull();
  lock.release();
});

test("refuses while another supervisor runs, and touches none of its processes", async () => {
  const [other, child] = [sleeper(), sleeper()];
  writeEarlier({ port: 8787, supervisor: refOf("supervisor", other), processes: [refOf("edge", child)] });
  await expect(takeLock(dir, 8787, () => {})).rejects.toThrow(StackError);
  expect(startTimeOf(child)).not.toBeNull();
});

test("records what it is told and forgets what has ended", async () => {
  const lock = await takeLock(dir, 1, () => {});
  const pid = sleeper();
  lock.add("edge", pid);
  lock.add("ghost", 999_999_9);
  const recorded: unknown = JSON.parse(readFileSync(join(dir, "lock.json"), "utf8"));
  expect(recorded).toMatchObject({ supervisor: { pid: process.pid }, processes: [{ name: "edge", pid }] });
});

test("a start that is refused leaves the running stack's dev.json alone", () => {
  writeEarlier({ port: 8787, supervisor: refOf("supervisor", sleeper()), processes: [] });
  writeFileSync(join(dir, "dev.json"), "{}");
  const start = fileURLToPath(new URL("../start.ts", import.meta.url));
  const env = { ...process.env, EDGEPLANE_STATE_DIR: dir };
  const { status, stderr } = spawnSync(process.execPath, [start], { encoding: "utf8", env });
  expect(status).toBe(1);
  expect(stderr).toContain("a stack runs already on port 8787");
  expect(existsSync(join(dir, "dev.json"))).toBe(true);
});

test("of two starts at once, after one that was killed, one gets the folder; the other leaves the lock alone", async () => {
  writeEarlier({ port: 1, supervisor: gone, processes: [refOf("workerd", sleeper())] });
  const module = JSON.stringify(fileURLToPath(new URL("stack-lock.ts", import.meta.url)));
  const go = join(dir, "go");
  const program = `import { existsSync } from "node:fs";
    import { setTimeout } from "node:timers/promises";
    import { takeLock } from ${module};
    console.log("ready");
    while (!existsSync(${JSON.stringify(go)})) await setTimeout(1);
    await takeLock(${JSON.stringify(dir)}, 1, () => {});
    console.log("has it");
    setInterval(() => {}, 1000);`;
  const starts = [1, 2, 3].map(() => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (text += part.toString()));
    return () => text;
  });
  await expect.poll(() => starts.every((said) => said().includes("ready"))).toBe(true);
  writeFileSync(go, "");
  await expect.poll(() => starts.every((said) => /has it|a stack runs already/.test(said()))).toBe(true);
  const said = starts.map((start) => start());
  expect(said.filter((text) => text.includes("has it"))).toHaveLength(1);
  const held: unknown = JSON.parse(readFileSync(join(dir, "lock.json"), "utf8"));
  expect(children.map(({ pid }) => pid)).toContain((held as { supervisor: { pid: number } }).supervisor.pid);
});

test("a lock is released by its holder only", async () => {
  const lock = await takeLock(dir, 1, () => {});
  writeEarlier({ port: 2, supervisor: refOf("supervisor", sleeper()), processes: [] });
  lock.release();
  expect(existsSync(join(dir, "lock.json"))).toBe(true);
});
