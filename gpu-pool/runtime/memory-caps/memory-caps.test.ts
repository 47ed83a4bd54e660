/**
 * Groups with a limit of memory, in a folder that has the files of a cgroup, and in the kernel's where this machine
 * lets its tests make one.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { systemClock } from "../../system-clock.ts";
import { BatchLimits } from "../../scheduling/batching/batch-limits.ts";
import { learnFromDeath } from "../learning.ts";
import { ModelProcess } from "../model-process.ts";
import type { Death } from "../model-process.ts";
import { Run } from "../run.ts";
import { openMemoryCaps } from "./open.ts";
import type { MemoryCaps, MemoryGroup } from "./types.ts";

const MIB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), "edgeplane-cgroup-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Files = { controllers?: string; handsDown?: string; processes?: number[] };
let roots = 0;

/** A folder that looks like a cgroup v2; `own` is the pool's group below it. */
function makeRoot(own: string, files: Record<string, Files>): { root: string; own: string } {
  roots += 1;
  const root = join(folder, String(roots));
  for (const [path, { controllers = "cpu memory", handsDown = "", processes = [] }] of Object.entries(files)) {
    const dir = join(root, path);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "cgroup.controllers"), `${controllers}\n`);
    writeFileSync(join(dir, "cgroup.subtree_control"), `${handsDown}\n`);
    writeFileSync(join(dir, "cgroup.procs"), processes.map((pid) => `${pid}\n`).join(""));
  }
  return { root, own };
}

const read = (...path: string[]): string => readFileSync(join(...path), "utf8").trim();
const groupsIn = (dir: string): string[] => readdirSync(dir).filter((name) => name.startsWith("edgeplane-model-"));

function groupOf(caps: MemoryCaps, bytes: number): MemoryGroup {
  const group = caps.group("m", bytes);
  if (group === null) throw new Error(`no group: ${caps.why}`);
  return group;
}

test("the pool moves aside in a cgroup of its own, and makes groups there", () => {
  const { root, own } = makeRoot("/pool.service", { "": {}, "pool.service": { processes: [process.pid] } });
  const caps = openMemoryCaps({ root, own });
  expect(caps).toMatchObject({ kind: "cgroup", why: null });
  expect(read(root, own, "edgeplane-pool", "cgroup.procs")).toBe(String(process.pid));
  expect(read(root, own, "cgroup.subtree_control")).toBe("+memory");
  groupOf(caps, 5 * MIB);
  const [name = ""] = groupsIn(join(root, own));
  expect(name).toMatch(new RegExp(`^edgeplane-model-\\d+\\.${process.pid}-m$`));
  expect(read(root, own, name, "memory.max")).toBe(String(5 * MIB));
  expect(read(root, own, name, "memory.oom.group")).toBe("1");
});

test("the shell that a service's pool is started by moves with it", () => {
  const processes = [process.ppid, process.pid];
  const { root, own } = makeRoot("/pool.service", { "": { handsDown: "memory" }, "pool.service": { processes } });
  groupOf(openMemoryCaps({ root, own }), 5 * MIB);
  expect([groupsIn(join(root, own)).length, groupsIn(root).length]).toEqual([1, 0]);
});

test("a pool that its shell starts again goes on with the groups of the one before", () => {
  const { root, own } = makeRoot("/pool.service/edgeplane-pool", {
    "pool.service": { handsDown: "memory" },
    "pool.service/edgeplane-pool": { processes: [process.ppid, process.pid] },
  });
  groupOf(openMemoryCaps({ root, own }), 5 * MIB);
  expect(groupsIn(join(root, "pool.service"))).toHaveLength(1);
  expect(existsSync(join(root, own, "edgeplane-pool"))).toBe(false);
});

test("in a cgroup with others it goes to the root, and moves nobody", () => {
  const { root, own } = makeRoot("/session", { "": {}, session: { processes: [process.pid, 1] } });
  expect(openMemoryCaps({ root, own }).kind).toBe("cgroup");
  expect(existsSync(join(root, "session", "edgeplane-pool"))).toBe(false);
  expect(read(root, "cgroup.subtree_control")).toBe("+memory");
});

test("where none can be made the pool looks itself, and says why", () => {
  const bare = makeRoot("/session", { "": { controllers: "cpu" }, session: { processes: [process.pid, 1] } });
  const caps = openMemoryCaps(bare);
  expect(caps.kind).toBe("watchdog");
  expect(caps.why).toContain(`other processes are in ${bare.root}/session`);
  expect(caps.why).toContain(`${bare.root} has no memory controller`);
  expect(caps.group("m", MIB)).toBeNull();
  expect(openMemoryCaps({ root: null, own: "/" }).why).toBe("this host has no cgroup v2");
});

test("groups that a pool left are taken away when it is gone", () => {
  const { root, own } = makeRoot("/", { "": { handsDown: "memory" } });
  const groups = {
    gone: "7.4194305-m",
    living: `7.${process.ppid}-m`,
    before: `7.${process.pid}-m`,
    elsewhere: "8.4194305-m",
    unknown: "4194305-m",
  };
  for (const name of Object.values(groups)) mkdirSync(join(root, `edgeplane-model-${name}`));
  openMemoryCaps({ root, own }, "7");
  const left = Object.entries(groups).flatMap(([what, name]) =>
    existsSync(join(root, `edgeplane-model-${name}`)) ? [what] : [],
  );
  // Numbers of processes mean something in their own container only.
  expect(left).toEqual(["living", "elsewhere", "unknown"]);
  vi.useFakeTimers({ now: Date.now() + 3_700_000, toFake: ["Date"] });
  openMemoryCaps({ root, own }, "7");
  vi.useRealTimers();
  expect(groupsIn(root)).toEqual([`edgeplane-model-${groups.living}`]);
});

/** A process in a group; `code` is what it runs. `died` holds what is told of its end. */
function startIn(group: MemoryGroup, code: string) {
  const modules = mkdtempSync(join(folder, "modules-"));
  writeFileSync(join(modules, "runs.py"), code);
  const died = Promise.withResolvers<Death>();
  const model = new ModelProcess({
    python: "python3",
    env: {},
    modelDir: modules,
    childPath: modules,
    childModule: "runs",
    slots: 1,
    scratchDir: join(modules, "scratch"),
    jail: null,
    group,
    cudaVisibleDevices: "",
    clock: systemClock,
    setupTimeoutMs: 30_000,
    silenceMs: 30_000,
    progressMs: null,
    healthEveryMs: 30_000,
    onLoaded() {},
    onReady() {},
    onSlotMessage() {},
    onPrinted() {},
    onGone: died.resolve,
  });
  return { model, died: died.promise };
}

const SLEEPS = "import time\ntime.sleep(600)\n";

test("a process enters its group before it is Python, and its end is out of memory when the group's events say so", async () => {
  const { root, own } = makeRoot("/", { "": { handsDown: "memory" } });
  const group = groupOf(openMemoryCaps({ root, own }), 5 * MIB);
  const dir = join(root, groupsIn(root)[0] ?? "");
  writeFileSync(join(dir, "memory.events"), "max 7\noom 0\noom_kill 0\n");
  const { model, died } = startIn(group, SLEEPS);
  await expect.poll(() => existsSync(join(dir, "cgroup.procs")) && read(dir, "cgroup.procs")).toBe(String(model.pid));
  writeFileSync(join(dir, "memory.events"), "max 9\noom 1\noom_kill 1\noom_group_kill 1\n");
  process.kill(model.pid ?? 0, "SIGKILL");
  const why = `out of memory: it used all of the ${5 * MIB} bytes that it may use (memoryBytes)`;
  expect(await died).toMatchObject({ why, outOfMemory: true, setupFailure: { message: why } });
  expect(read(dir, "cgroup.kill")).toBe("1");
});

test("a crash in a group is no want of memory, and teaches nothing of it", async () => {
  const { root, own } = makeRoot("/", { "": { handsDown: "memory" } });
  const group = groupOf(openMemoryCaps({ root, own }), 5 * MIB);
  writeFileSync(join(root, groupsIn(root)[0] ?? "", "memory.events"), "max 7\noom 0\noom_kill 0\n");
  const { died } = startIn(group, "raise SystemExit(7)\n");
  const death = await died;
  expect(death).toMatchObject({ why: "it exited with code 7", outOfMemory: false, setupFailure: null });
  const shape = { size: 8, cost: 8, bucket: 0 };
  const times = { startedAtMs: 0, hasBegun: true };
  const run = new Run({ number: 1, predictions: [], exclusive: false, ...times, shape, isOneCall: true });
  const learned = (outOfMemory: boolean | null): number => {
    const limits = new BatchLimits({ maxBatchSize: 64, maxQueueDelayMs: 0 });
    learnFromDeath([run], { ...death, outOfMemory }, limits);
    return limits.cost;
  };
  expect([learned(false), learned(true), learned(null)]).toEqual([Infinity, 4, 4]);
});

const real = openMemoryCaps();
if (real.kind === "watchdog")
  process.stderr.write(
    `LEFT OUT: a process that the kernel ends for want of memory, as here is no cgroup: ${real.why}\n`,
  );

test.skipIf(real.kind === "watchdog")(
  "the kernel ends a process that wants more, with all that it started",
  async () => {
    const { died } = startIn(
      groupOf(real, 64 * MIB),
      "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'bytearray(1 << 28)'])\n",
    );
    expect(await died).toMatchObject({ outOfMemory: true });
  },
);
