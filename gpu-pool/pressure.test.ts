import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createHandClock } from "../test/unit/hand-clock.ts";
import { granted } from "../test/unit/granted.ts";
import { UploadBacklog } from "./delivery/upload-backlog.ts";
import { Pressure } from "./pressure.ts";
import { DiskFaults } from "./runtime/pressure/disk-faults.ts";
import { DiskWatch } from "./runtime/pressure/disk-watch.ts";
import { InputBudget } from "./runtime/pressure/input-budget.ts";
import { ModelPressure } from "./runtime/pressure/model-pressure.ts";
import type { Held } from "./runtime/held.ts";
import type { Reporter } from "./runtime/prediction.ts";
import { readSettings } from "./settings.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-pressure-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Counts its calls. */
function counter() {
  let count = 0;
  return { onChange: () => void (count += 1), changes: () => count };
}

test("outputs that wait for their upload are counted once, and at the limit nothing more is made until half is gone", async () => {
  const { onChange, changes } = counter();
  const backlog = new UploadBacklog({ limitBytes: 100, onChange });
  const files = ["a", "b"].map((name) => join(folder, name));
  for (const file of files) writeFileSync(file, "x".repeat(50));
  const [a = "", b = ""] = files;
  const first = backlog.add([a], 0);
  // The end of a stream names again what its chunks named.
  const again = backlog.add([a], 30);
  expect([backlog.bytes, backlog.problem]).toEqual([80, null]);
  const second = backlog.add([b], 0);
  expect(backlog.problem).toBe("130 bytes of outputs wait for their upload here, and 100 may");
  await backlog.drop(first);
  expect([backlog.bytes, backlog.problem !== null, changes()]).toEqual([80, true, 1]);
  await backlog.drop(second);
  expect([backlog.bytes, backlog.problem, changes()]).toEqual([30, null, 2]);
  await backlog.drop(again);
  expect([backlog.bytes, files.some((file) => existsSync(file))]).toEqual([0, false]);
});

test("who would take the inputs beyond the limit gives way, and who is alone never does", () => {
  const { onChange, changes } = counter();
  const budget = new InputBudget({ limitBytes: 100, onChange });
  expect(budget.take("one", 90)).toBeNull();
  expect(budget.take("two", 20)?.message).toContain("take 90 of 100 bytes");
  expect(budget.take("one", 20)).toBeNull();
  expect(budget.problem).not.toBeNull();
  budget.release("two");
  expect(budget.problem).not.toBeNull();
  budget.release("one");
  expect([budget.bytes, budget.problem, changes()]).toEqual([0, null, 2]);
});

test("a disk with too little free is told, and is well again when an eighth more is free", async () => {
  const { onChange, changes } = counter();
  const { clock, pass } = createHandClock();
  let bytes = 2000;
  let files = Infinity;
  const measure = async () => ({ bytes, files });
  const watch = new DiskWatch({ clock, folder, leastBytes: 1600, onChange, measure });
  watch.start();
  const look = async (free: number): Promise<string | null> => {
    bytes = free;
    pass(1000);
    await new Promise((resolve) => setImmediate(resolve));
    return watch.problem;
  };
  expect(await look(1600)).toBeNull();
  expect(await look(1599)).toContain("free, less than");
  expect(await look(1700)).not.toBeNull();
  expect(await look(1800)).toBeNull();
  files = 3;
  expect(await look(1800)).toContain("only 3 files more");
  expect(changes()).toBe(3);
  watch.stop();
});

test("while a disk has too little free, space is asked for, but not at each look", async () => {
  const { clock, pass } = createHandClock();
  let bytes = 1000;
  const asked: number[] = [];
  const watch = new DiskWatch({
    clock,
    folder,
    leastBytes: 1600,
    onChange() {},
    makeSpace: (more) => void asked.push(more),
    measure: async () => ({ bytes, files: Infinity }),
  });
  for (const ms of [0, 1000, 28_000, 1000]) {
    pass(ms);
    await watch.look();
  }
  expect(asked).toEqual([800, 800]);
  bytes = 1800;
  pass(30_000);
  await watch.look();
  expect(asked).toHaveLength(2);
});

test("a model that met a full disk rests, the first prediction goes back at no cost, and one that meets it again is lost", () => {
  const { clock, pass } = createHandClock();
  const told: string[] = [];
  const held = { release: (_one: unknown, reason: string) => void told.push(reason), ended() {} } as unknown as Held;
  const report = {
    failed: (_one: unknown, kind: string, code: string) => void told.push(`${kind} ${code}`),
  } as unknown as Reporter;
  const noShortage = (): null => null;
  const rest = { onDiskFull: () => void told.push("look"), onRoom() {} };
  const pressure = new ModelPressure({ clock, shortage: noShortage, held, report, ...rest });
  pressure.metFullDisk(granted({ id: "p" }), "No space left on device");
  expect(pressure.pausedBy).toContain("disk was full");
  pass(5000);
  expect(pressure.pausedBy).toBeNull();
  pressure.metFullDisk(granted({ id: "p" }), "No space left on device");
  expect(told).toEqual(["look", "setup", "look", "crash disk_full"]);
});

test("a prediction meets a full disk once at no cost, and a second time as what may have filled it", () => {
  const faults = new DiskFaults();
  expect([faults.isAgain("p"), faults.isAgain("q"), faults.isAgain("p")]).toEqual([false, false, true]);
  for (let other = 0; other < 1000; other += 1) faults.isAgain(`other-${other}`);
  expect(faults.isAgain("q")).toBe(false);
});

test("what runs short keeps out only who needs it", () => {
  const settings = readSettings(["--url", "http://127.0.0.1:1", "--token", "t", "--max-upload-backlog-bytes", "1"], {});
  if (settings === null) throw new Error("no settings");
  const { onChange } = counter();
  const pressure = new Pressure({ clock: createHandClock().clock, settings, folder, onChange, log() {} });
  const withOutput = (output: { [key: string]: string | { [key: string]: string } }) => ({
    components: { schemas: { Output: output } },
  });
  pressure.uploads.add([], 5);
  expect(pressure.shortage(withOutput({ type: "string" }))).toBeNull();
  expect(pressure.shortage(withOutput({ type: "array", items: { type: "number" } }))).toBeNull();
  expect(pressure.shortage(withOutput({ type: "string", format: "uri" }))).toContain("wait for their upload");
  expect(pressure.shortage(withOutput({ type: "array", items: { type: "string", format: "uri" } }))).not.toBeNull();
  expect(pressure.shortage(withOutput({ type: "object" }))).not.toBeNull();
  expect(pressure.shortage(null)).toBeNull();
  expect(pressure.problems).toHaveLength(1);
});
