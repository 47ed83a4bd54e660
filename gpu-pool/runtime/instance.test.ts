/** What this host can't do for a model is that model's misfortune, and never the pool's end. */
import { EventEmitter } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../system-clock.ts";
import { Instance } from "./instance.ts";
import type { Launch, SetupProblem } from "./instance.ts";

const { spawn } = vi.hoisted(() => ({ spawn: vi.fn() }));
vi.mock("node:child_process", () => ({ spawn }));

const folder = mkdtempSync(join(tmpdir(), "edgeplane-instance-"));
beforeEach(() => {
  spawn.mockReset();
});

/** Starts an instance whose scratch folder is at `scratchDir`; answers what was told of it. */
function startAt(scratchDir: string) {
  const broken: SetupProblem[] = [];
  const deaths: string[] = [];
  const discard = vi.fn();
  const life = { works: vi.fn(), rests: vi.fn(), ended: vi.fn() };
  const launch: Launch = {
    python: "python3",
    env: {},
    modelDir: folder,
    childPath: folder,
    childModule: "m",
    slots: 1,
    scratchDir,
    jail: null,
    setupTimeoutMs: 1000,
    silenceMs: 1000,
    progressMs: null,
    healthEveryMs: 1000,
    onLoaded() {},
    lives: () => life,
    discard,
  };
  const instance = new Instance({
    name: "m#0",
    slots: 1,
    clock: systemClock,
    launch: async () => launch,
    onReady() {},
    onSlotMessage() {},
    onGone: (_instance, { why }) => void deaths.push(why),
    onBroken: (_instance, problem) => void broken.push(problem),
    onGrew() {},
    onPrinted() {},
  });
  instance.start(["cpu"], "cpu");
  return { instance, broken, deaths, discard, life };
}

test("a scratch folder that can't be made breaks the model", async () => {
  writeFileSync(join(folder, "file"), "");
  const { instance, broken, discard } = startAt(join(folder, "file", "scratch"));
  await expect.poll(() => broken.length).toBe(1);
  expect(discard).toHaveBeenCalled();
  expect(instance.state).toBe("broken");
  expect(broken[0]?.message).toContain("ENOTDIR");
});

test("a process for which the host has no file handles left is tried again", async () => {
  spawn.mockImplementation(() => {
    const child = new EventEmitter();
    const error = new Error("spawn python3 EMFILE");
    setImmediate(() => child.emit("error", error));
    return child;
  });
  const { instance, deaths } = startAt(join(folder, "scratch"));
  await expect.poll(() => deaths).toEqual(["it could not be started: spawn python3 EMFILE"]);
  expect(instance.state).toBe("waiting");
  instance.stop(0);
});

test("a process that the system refuses at once breaks the model, and its life is over", async () => {
  spawn.mockImplementation(() => {
    throw new Error("spawn E2BIG");
  });
  const { instance, broken, discard, life } = startAt(join(folder, "scratch"));
  await expect.poll(() => broken).toEqual([{ message: "spawn E2BIG", traceback: "" }]);
  expect(discard).toHaveBeenCalled();
  expect(life.ended).toHaveBeenCalledOnce();
  expect(instance.state).toBe("broken");
});

test("what was prepared for a process that is stopped before it starts is given back", async () => {
  const { instance, discard } = startAt(join(folder, "scratch"));
  instance.stop(0);
  await expect.poll(() => discard.mock.calls.length).toBe(1);
  expect(spawn).not.toHaveBeenCalled();
});
