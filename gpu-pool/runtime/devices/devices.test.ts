import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { createHandClock, createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { checkDevice } from "./device-check.ts";
import type { CheckResult } from "./device-check.ts";
import { askCudaVersion, cudaProblem } from "./cuda-version.ts";
import { DeviceWatch } from "./device-watch.ts";
import { FenceNews } from "./fence-news.ts";
import { askNvidiaSmi, parseNvidiaSmi } from "./nvidia-smi.ts";
import type { SmiReport } from "./nvidia-smi.ts";
import { visibleOf } from "./visible.ts";

const MIB = 1024 * 1024;
const text = [
  "0, GPU-1a2b, NVIDIA H200, 143771, 512, 37, 41, 120.50, 0",
  "1, GPU-1c3d, NVIDIA A10G, [N/A], [N/A], [N/A], [N/A], [N/A], [N/A]",
  "2, GPU-2e4f, NVIDIA L4, rev. B, 23034, 3, 0, 30, 17, 2",
  "3, GPU-3f5a, NVIDIA L4, [GPU requires reset], [GPU requires reset], 0, 30, 17, 0",
  "Unable to determine the device handle for GPU4: 0000:0B:00.0: Unknown Error",
  "",
].join("\n");
const { devices, complaints } = parseNvidiaSmi(text);
const seen = devices.map((device) => ({ ...device, isAwaited: false }));
const visible = (list: string | undefined) => visibleOf(seen, list).map(({ id }) => id);

const folder = mkdtempSync(join(tmpdir(), "edgeplane-smi-"));
const path = process.env["PATH"];
afterEach(() => {
  process.env["PATH"] = path;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Puts a program of this name before all others. */
function pretend(script: string): void {
  const file = join(folder, "nvidia-smi");
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  process.env["PATH"] = `${folder}:${path}`;
}

test("reads memory, utilization, temperature, power and ECC of each card, and what is no card is a complaint", () => {
  expect(devices[0]).toEqual({
    id: "0",
    uuid: "GPU-1a2b",
    name: "NVIDIA H200",
    memoryBytes: 143_771 * MIB,
    usedBytes: 512 * MIB,
    utilizationPercent: 37,
    temperatureCelsius: 41,
    powerWatts: 120.5,
    uncorrectedEccErrors: 0,
    problem: null,
  });
  expect(devices[1]).toMatchObject({ id: "1", memoryBytes: null, usedBytes: null, problem: null });
  expect(devices[2]).toMatchObject({ name: "NVIDIA L4, rev. B", memoryBytes: 23_034 * MIB });
  expect(complaints).toEqual(["Unable to determine the device handle for GPU4: 0000:0B:00.0: Unknown Error"]);
});

test("a card that needs a reset, or whose memory lost data, takes nothing new and says why", () => {
  expect(devices[2]?.problem).toContain("2 uncorrected memory errors");
  expect(devices[3]?.problem).toBe("GPU 3 does not answer: GPU requires reset");
});

test("a pool that is given some of the devices uses no others", () => {
  expect(visible(undefined)).toEqual(["0", "1", "2", "3"]);
  expect(visible("2,0")).toEqual(["2", "0"]);
  expect(visible(" GPU-1c , 0 ")).toEqual(["1", "0"]);
  expect(visible("")).toEqual([]);
  expect(visible("-1")).toEqual([]);
  // As CUDA has it: what comes behind an unknown one is not visible, and an ambiguous one is unknown.
  expect(visible("1,7,0")).toEqual(["1"]);
  expect(visible("GPU-1")).toEqual([]);
  expect(visible("MIG-5f6a")).toEqual(["MIG-5f6a"]);
});

test("an nvidia-smi that is missing, fails, hangs or shows nothing is told as what it is", async () => {
  process.env["PATH"] = folder;
  rmSync(join(folder, "nvidia-smi"), { force: true });
  expect((await askNvidiaSmi()).problem).toContain("no nvidia-smi on the PATH");
  pretend("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18");
  expect(await askNvidiaSmi()).toEqual({
    devices: [],
    problem: "nvidia-smi failed (exit code 18): Failed to initialize NVML: Driver/library version mismatch",
  });
  pretend("exec sleep 60");
  expect(await askNvidiaSmi(100)).toEqual({ devices: [], problem: "nvidia-smi gave no answer within 0.1 s" });
  pretend("echo 'No devices were found'");
  expect((await askNvidiaSmi()).problem).toBe("nvidia-smi says: No devices were found");
});

test("one sick card does not hide the others", async () => {
  pretend("echo '0, GPU-1a2b, NVIDIA L4, 23034, 1, 0, 30, 17, 0'; echo 'GPU 1 is lost'; exit 15");
  const report = await askNvidiaSmi();
  expect(report.devices.map(({ id }) => id)).toEqual(["0"]);
  expect(report.problem).toContain("GPU 1 is lost");
});

test("a look that is asked for while another is under way says what was so then", async () => {
  const cards = devices.slice(0, 1);
  let used = 0;
  const answers: (() => void)[] = [];
  const ask = () =>
    new Promise<SmiReport>((resolve) => {
      const seen = cards.map((device) => ({ ...device, usedBytes: used }));
      answers.push(() => resolve({ devices: seen, problem: null }));
    });
  const watch = new DeviceWatch({ clock: createHandClock().clock, visible: undefined, ask });
  const usedNow = async (): Promise<unknown> => (await watch.look()).cuda.map(({ usedBytes }) => usedBytes);
  const before = usedNow();
  await expect.poll(() => answers.length).toBe(1);
  used = 200;
  const [after, beside] = [usedNow(), usedNow()];
  answers[0]?.();
  expect(await before).toEqual([0]);
  await expect.poll(() => answers.length).toBe(2);
  answers[1]?.();
  expect(await Promise.all([after, beside])).toEqual([[200], [200]]);
  expect(answers.length).toBe(2);
});

test("looks that come together are one, and a later one sees what has changed", async () => {
  let asked = 0;
  const [first] = devices;
  const reports = [
    { devices: [], problem: "nvidia-smi gave no answer within 10 s" },
    { devices: first === undefined ? [] : [first], problem: null },
  ];
  const ask = async () => reports[(asked += 1) - 1] ?? { devices: [], problem: "asked too often" };
  const watch = new DeviceWatch({ clock: createHandClock().clock, visible: undefined, ask });
  await Promise.all([watch.look(), watch.look()]);
  expect([asked, watch.refusal]).toEqual([1, "nvidia-smi gave no answer within 10 s"]);
  expect(watch.devices).toMatchObject([{ id: "cpu", kind: "cpu" }]);
  await watch.look();
  expect([asked, watch.refusal]).toEqual([2, null]);
  expect(watch.devices).toMatchObject([{ id: "0", kind: "cuda" }]);
});

const line = (id: number, uuid = `GPU-${id}`): string => `${id}, ${uuid}, NVIDIA L4, 23034, 1, 0, 30, 17, 0\n`;

/** A host whose `nvidia-smi` says `text`, and fails with `problem`; time passes by hand. */
function makeHost({ visible, ofDriver = [] }: { visible?: string; ofDriver?: string[] } = {}) {
  const host = { text: line(0) + line(1), problem: null as string | null };
  const time = createSteppedClock();
  const ask = async () => ({ devices: parseNvidiaSmi(host.text).devices, problem: host.problem });
  const askDriver = async () => ofDriver.map((uuid) => ({ uuid, name: "NVIDIA L4" }));
  const watch = new DeviceWatch({ clock: time.clock, visible, ask, askDriver, askVersion: async () => null });
  const problems = () => Object.fromEntries(watch.report.cuda.map(({ id, problem }) => [id, problem]));
  return { host, time, watch, problems };
}

test("a list that ends in the middle hides no card: what is missing is fenced, told to the edge, and free when it is back", async () => {
  const { host, watch, problems } = makeHost({ visible: "1,0" });
  await watch.look();
  host.text = line(0);
  await watch.look();
  const missing = "GPU 1 is missing: nvidia-smi does not name it any more";
  expect(problems()).toEqual({ "1": missing, "0": null });
  expect(watch.devices.map(({ id, problem }) => [id, problem])).toEqual([
    ["1", missing],
    ["0", undefined],
  ]);
  host.text = line(0) + line(1);
  await watch.look();
  expect(problems()).toEqual({ "1": null, "0": null });
});

test("cards that are all missing are awaited for a minute, looked for every 3 s, and then refused with the reason", async () => {
  const { host, time, watch, problems } = makeHost();
  await watch.look();
  watch.start();
  [host.text, host.problem] = ["", "nvidia-smi gave no answer within 10 s"];
  await time.pass(15_000);
  expect(problems()["1"]).toBe("GPU 1 is missing: nvidia-smi gave no answer within 10 s");
  expect([watch.refusal, watch.report.cuda[0]?.isAwaited]).toEqual([null, true]);
  await time.pass(57_000);
  expect(watch.refusal).toBeNull();
  await time.pass(3000);
  expect(watch.refusal).toBe("GPU 0 is missing: nvidia-smi gave no answer within 10 s");
  expect(watch.devices.map(({ kind }) => kind)).toEqual(["cuda", "cuda"]);
  watch.stop();
});

/** Ten times in a row, the second card is missing for 6 s, and back for 3 s. */
async function flap({ host, time, watch }: ReturnType<typeof makeHost>): Promise<void> {
  for (let round = 0; round < 10; round += 1) {
    await time.pass(3000);
    host.text = line(0);
    await watch.look();
    await time.pass(6000);
    host.text = line(0) + line(1);
    await watch.look();
  }
}

test("a card that comes and goes is told of twice, and then stays fenced until it has stayed for a minute", async () => {
  const made = makeHost();
  const { host, time, watch, problems } = made;
  const news = new FenceNews({ warn() {}, info() {} });
  let told = 0;
  watch.onLook = () => void (told += Number(news.looked(watch.report)));
  const look = async (afterMs: number, text = line(0) + line(1)) => {
    await time.pass(afterMs);
    host.text = text;
    await watch.look();
  };
  await watch.look();
  await flap(made);
  const unsteady = "GPU 1 went missing 10 times in ten minutes: it is used again once it has stayed for one";
  expect([problems(), told]).toEqual([{ "0": null, "1": unsteady }, 5]);
  await look(59_000);
  expect(problems()["1"]).toBe(unsteady);
  await look(1000);
  expect([problems()["1"], told]).toEqual([null, 6]);
  // What was long ago counts no more.
  await look(600_000, line(0));
  await look(3000);
  expect([problems()["1"], told]).toEqual([null, 8]);
});

test("a model that fits only on a card that comes and goes waits for it no longer than for one that is missing", async () => {
  const made = makeHost();
  const isAwaited = () => made.watch.report.cuda.map((card) => card.isAwaited);
  await made.watch.look();
  await flap(made);
  expect(isAwaited()).toEqual([false, false]);
  // The fence ends, and what goes missing then is awaited anew.
  await made.time.pass(60_000);
  await made.watch.look();
  made.host.text = line(0);
  await made.watch.look();
  expect(isAwaited()).toEqual([false, true]);
});

test("a first list that is short hides no card that the driver has: it is awaited, and used once it is named", async () => {
  const { host, watch, problems } = makeHost({ ofDriver: ["GPU-0", "GPU-1"] });
  host.text = line(0);
  await watch.look();
  const missing = "GPU 1 is missing: the driver has it, and nvidia-smi does not name it";
  expect(problems()).toEqual({ "0": null, "1": missing });
  expect(watch.report.cuda[1]?.isAwaited).toBe(true);
  host.text = line(0) + line(1);
  await watch.look();
  expect(problems()).toEqual({ "0": null, "1": null });
});

test("a pool that is to use the card that a first list lacks waits for it by its number", async () => {
  const { host, watch, problems } = makeHost({ visible: "1", ofDriver: ["GPU-0", "GPU-1"] });
  host.text = line(0);
  await watch.look();
  expect(watch.refusal).toBeNull();
  expect(problems()["1"]).toContain("GPU 1 is missing");
  host.text = line(0) + line(1);
  await watch.look();
  expect(problems()).toEqual({ "1": null });
});

test("a card that was not named yet goes by its uuid where those that are named are numbered otherwise", async () => {
  const { host, watch, problems } = makeHost({ ofDriver: ["GPU-0", "GPU-1"] });
  host.text = line(0, "GPU-1");
  await watch.look();
  const missing = "GPU GPU-0 is missing: the driver has it, and nvidia-smi does not name it";
  expect(problems()).toEqual({ "0": null, "GPU-0": missing });
});

test("a driver none of whose cards is named tells of another host", async () => {
  const { watch, problems } = makeHost({ ofDriver: ["GPU-8", "GPU-9"] });
  await watch.look();
  expect(problems()).toEqual({ "0": null, "1": null });
});

test("a host on which nvidia-smi can't be started fences its cards, and goes on looking", async () => {
  const time = createSteppedClock();
  let isOut = false;
  const ask = async () => {
    if (isOut) throw new Error("spawn ENOMEM");
    return { devices: parseNvidiaSmi(line(0)).devices, problem: null };
  };
  const others = { askDriver: async () => [], askVersion: async () => null };
  const watch = new DeviceWatch({ clock: time.clock, visible: undefined, ask, ...others });
  await watch.look();
  watch.start();
  isOut = true;
  await time.pass(15_000);
  expect(watch.report.cuda[0]?.problem).toBe("GPU 0 is missing: nvidia-smi can't be started: spawn ENOMEM");
  isOut = false;
  await time.pass(3000);
  expect(watch.report.cuda[0]?.problem).toBeNull();
  watch.stop();
});

test("where the cards that are left are numbered anew, what is missing goes by its uuid and takes nobody's number", async () => {
  const { host, watch, problems } = makeHost();
  host.text = line(0) + line(1) + line(2);
  await watch.look();
  host.text = line(0) + line(1, "GPU-2");
  await watch.look();
  expect(Object.keys(problems())).toEqual(["0", "1", "GPU-1"]);
  expect(Object.values(problems()).map((problem) => problem !== null)).toEqual([false, false, true]);
});

test("a pool keeps the cards that its numbers named first, also where cards are numbered anew", async () => {
  const [one, other] = [makeHost({ visible: "0,1" }), makeHost({ visible: "2" })];
  for (const text of [line(0) + line(1) + line(2), line(0) + line(1, "GPU-2")]) {
    one.host.text = other.host.text = text;
    await Promise.all([one.watch.look(), other.watch.look()]);
  }
  expect([Object.keys(one.problems()), one.problems()["0"]]).toEqual([["0", "GPU-1"], null]);
  expect(other.problems()).toEqual({ "1": null });
});

test("a fence is told once, and its end, whatever looks find meanwhile", async () => {
  const { host, watch } = makeHost();
  const lines: unknown[][] = [];
  const say = (...said: unknown[]) => void lines.push(said);
  const news = new FenceNews({ warn: say, info: say });
  const look = async (text: string) => {
    host.text = text;
    return news.looked(await watch.look());
  };
  const found = [];
  for (const text of [line(0) + line(1), line(0), line(0), line(0) + line(1)]) found.push(await look(text));
  expect(found).toEqual([false, true, false, true]);
  expect(lines.map(([what, text]) => [text, what])).toMatchObject([
    ["GPU fenced off", { id: "1" }],
    ["GPU takes work again", { id: "1" }],
  ]);
});

test("a pool that CUDA_VISIBLE_DEVICES leaves no GPU says so", async () => {
  const ask = async () => ({ devices: devices.slice(0, 1), problem: null });
  const watch = new DeviceWatch({ clock: createHandClock().clock, visible: "", ask });
  await watch.look();
  expect(watch.refusal).toContain("CUDA_VISIBLE_DEVICES");
});

test("a device that fails its check is fenced with the reason, at every later look too; one that nobody can judge is not", async () => {
  const well = devices.slice(0, 2).map((device) => ({ ...device, problem: null }));
  const results: Record<string, CheckResult> = {
    "0": { state: "sick", why: "it computes wrong numbers" },
    "1": { state: "unknown", why: "no driver" },
  };
  const watch = new DeviceWatch({
    clock: createHandClock().clock,
    visible: undefined,
    ask: async () => ({ devices: well, problem: null }),
    check: async (id) => results[id] ?? { state: "well", why: "" },
  });
  await watch.look();
  expect(await watch.check()).toEqual(["GPU 1: no driver"]);
  await watch.look();
  expect(watch.report.cuda.map(({ problem }) => problem)).toEqual([
    "GPU 0 failed its check: it computes wrong numbers",
    null,
  ]);
});

test("a check is a program: 0 is well, 1 is sick, anything else says nothing, and one that hangs is sick", async () => {
  const check = (script: string, limitMs?: number) => {
    pretend(script);
    return checkDevice("3", join(folder, "nvidia-smi"), limitMs);
  };
  expect(await check('test "$1 $CUDA_VISIBLE_DEVICES" = "3 3"')).toEqual({ state: "well", why: "" });
  expect(await check("echo some; echo broken; exit 1")).toEqual({ state: "sick", why: "broken" });
  expect((await check("exit 3")).state).toBe("unknown");
  expect((await checkDevice("0", join(folder, "nothing"))).state).toBe("unknown");
  vi.stubEnv("EDGEPLANE_POOL_TOKEN", "epp_x");
  expect((await check('test -z "$EDGEPLANE_POOL_TOKEN"')).state).toBe("well");
  vi.unstubAllEnvs();
  expect(await check("exec sleep 60", 100)).toEqual({ state: "sick", why: "its check did not end within 0.1 s" });
});

test("a driver runs all of its major version of CUDA, and nothing above it", () => {
  expect(cudaProblem("it is", "12.8", "12.4")).toBeNull();
  expect(cudaProblem("it is", "11.8", "13.0")).toBeNull();
  expect(cudaProblem("it is", "13", "12.4")).toBe(
    "it is 13, and this host's NVIDIA driver runs CUDA up to 12.4: update the driver, or choose a version for CUDA 12",
  );
  // Each version before 11 wanted its own driver.
  expect(cudaProblem("it is", "10.2", "10.1")).toContain("up to 10.1");
  expect(cudaProblem("it is", "10.1", "10.2")).toBeNull();
  for (const [needed, driver] of [
    [undefined, "12.4"],
    [null, "12.4"],
    ["latest", "12.4"],
    ["13.0", null],
  ] as const)
    expect(cudaProblem("it is", needed, driver)).toBeNull();
});

test("nvidia-smi says above its table which CUDA the driver runs", async () => {
  process.env["PATH"] = `${folder}:${path}`;
  pretend("echo '| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4     |'");
  expect(await askCudaVersion()).toBe("12.4");
  pretend("echo '| NVIDIA-SMI 590.1   KMD Version: 590.1   CUDA UMD Version: 13.1     |'");
  expect(await askCudaVersion()).toBe("13.1");
  pretend("echo '| CUDA Version: N/A |'");
  expect(await askCudaVersion()).toBeNull();
});
