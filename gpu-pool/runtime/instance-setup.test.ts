/** A set-up that raises where it went well before is tried again at once, and only once. */
import { beforeEach, expect, test, vi } from "vitest";
import { Instance } from "./instance.ts";
import type { Launch } from "./instance.ts";
import type { Death, ProcessOptions } from "./model-process.ts";

const { processes } = vi.hoisted(() => ({ processes: [] as ProcessOptions[] }));
vi.mock("./model-process.ts", () => ({
  ModelProcess: class {
    readonly state = "starting";
    constructor(options: ProcessOptions) {
      processes.push(options);
    }
  },
}));
beforeEach(() => void processes.splice(0));

const RAISED = { message: "OSError: no route to huggingface.co", traceback: "Traceback …" };

/** An instance on one device, driven by what becomes of its processes, one after the other. */
function start(onGone: (instance: Instance) => void = () => {}) {
  const broken: string[] = [];
  const timers: (() => void)[] = [];
  const instance = new Instance({
    name: "m#0",
    slots: 1,
    clock: { nowMs: () => 0, after: (_delayMs, run) => (timers.push(run), () => {}) },
    launch: async () => ({}) as Launch,
    onReady() {},
    onSlotMessage() {},
    onGone,
    onBroken: (_instance, { message }) => void broken.push(message),
    onGrew() {},
    onPrinted() {},
  });
  instance.start(["cpu"], "cpu");
  const started = async (count: number): Promise<ProcessOptions> => {
    await expect.poll(() => processes.length).toBe(count);
    const process = processes[count - 1];
    if (process === undefined) throw new Error("it has started");
    return process;
  };
  return { instance, broken, started, timers };
}

function dies(process: ProcessOptions, setupFailure: Death["setupFailure"], wasReady = false): void {
  const how = { why: "it exited with code 1", expected: false, hung: false, deviceError: false, outOfMemory: null };
  process.onGone({ ...how, wasReady, setupFailure });
}

test("one that went well before is tried again at once; the second failure in a row is the model's", async () => {
  const { instance, broken, started } = start();
  const first = await started(1);
  first.onReady(1, 0);
  dies(first, null, true);
  expect(instance.state).toBe("waiting");
  instance.stop(0);
  instance.start(["cpu"], "cpu");
  dies(await started(2), RAISED);
  expect([instance.state, broken]).toEqual(["starting", []]);
  dies(await started(3), RAISED);
  expect([instance.state, broken]).toEqual(["broken", [RAISED.message]]);
});

test.each([
  ["was never set up here", false, RAISED],
  ["took too long", true, { message: "setup took longer than 600 s", traceback: "" }],
  ["found too little memory", true, { message: "torch.OutOfMemoryError", traceback: "CUDA out of memory" }],
])("one that %s is not", async (_what, wasWell, failure) => {
  const { instance, broken, started } = start();
  const process = await started(1);
  if (wasWell) process.onReady(1, 0);
  dies(process, failure);
  expect([instance.state, broken]).toEqual(["broken", [failure.message]]);
});

test("one that leaves its place as it dies is not started there again", async () => {
  const { instance, started, timers } = start((one) => {
    one.fail({ message: "its device broke again and again", traceback: "" });
    one.forgive();
  });
  const first = await started(1);
  first.onReady(1, 0);
  dies(first, null, true);
  expect([instance.state, instance.placement]).toEqual(["stopped", "none"]);
  for (const run of timers) run();
  expect([instance.state, instance.placement]).toEqual(["stopped", "none"]);
});

test("the time since an instance left its place without a process is no time that it took to leave", async () => {
  let leftMs: number | null = -1;
  const { instance, started } = start((one) => (leftMs = one.leftMs()));
  dies(await started(1), null, true);
  expect([instance.state, leftMs]).toEqual(["waiting", null]);
  instance.retire();
  instance.start(["cpu"], "cpu");
  dies(await started(2), null, true);
  expect(leftMs).toBeNull();
});
