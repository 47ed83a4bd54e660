/**
 * Devices as the test's models measured them (`test/chaos/device`), held against what usage tells of them.
 *
 * A pool counts a run from before it hands it to its process until it has the result: never less than the model holds
 * the device, and more by the way there and back. So what attempts took of a device adds up to the time in which a
 * model held it, at least, and to that and an overhead for each run, at most; however many shared it. What a pool that
 * died did not tell is estimated, and left out on both sides.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AttemptRecord, MeterRecord } from "../../../src/metering/record.ts";

/** A model's run of these keys, in microseconds; one that was not ended was killed, and was alive until `aliveUs`. */
export type HeldRun = {
  process: number;
  pool: string;
  device: string;
  keys: string[];
  beganUs: number;
  aliveUs: number;
  endedUs: number | null;
};
type Span = readonly [from: number, to: number];

/** Steps of the pool's clock, at the begin and at the end of a run. */
const STEP_US = 200;
/**
 * From a run's dispatch to its begin and from its end to its result, on average: 5 ms on two cores that twenty
 * processes want.
 */
const OVERHEAD_US = 25_000;
/** Beyond that, where runs are too few for an average. */
const FEW_RUNS_US = 500_000;
/** Until a pool knows of a process that it died, and has heard its last words. */
const DEATH_US = 1_000_000;
/** A pool that was killed did not tell of what it did last, though the model may have noted none of it. */
const UNTOLD_US = 1_000_000;

/** What pools need whose models note their runs in `runsFile`. */
export function notingIn(runsFile: string): Record<string, string> {
  return { CHAOS_RUNS_FILE: runsFile, PYTHONPATH: join(import.meta.dirname, "../device") };
}

/** Each run of each key, in words. */
export function runsByKey(held: readonly HeldRun[]): Map<string, string[]> {
  const runs = new Map<string, string[]>();
  for (const { keys, process, beganUs } of held)
    for (const key of keys) runs.set(key, [...(runs.get(key) ?? []), `process ${process} at ${beganUs / 1e6}`]);
  return runs;
}

export function readHeldRuns(path: string): HeldRun[] {
  const open = new Map<string, HeldRun>();
  const runs: HeldRun[] = [];
  for (const line of textOf(path).split("\n")) {
    const [what = "", process = "", number = "", ns = "", pool = "", device = "", keys = ""] = line.split(" ");
    const us = Number(BigInt(ns === "" ? 0 : ns) / 1000n);
    const id = `${process} ${number}`;
    if (what === "begin") {
      const name = device.replaceAll("_", " ");
      const times = { beganUs: us, aliveUs: us, endedUs: null };
      const run = { process: Number(process), pool, device: name, keys: keys.split(","), ...times };
      open.set(id, run);
      runs.push(run);
      continue;
    }
    const run = open.get(id);
    if (run === undefined) continue;
    if (what === "alive") run.aliveUs = us;
    if (what === "end") run.endedUs = us;
  }
  return runs;
}

/** A device as usage tells of it, and as its models measured it. `dead`: runs whose process was killed. */
export type MeasuredDevice = {
  device: string;
  toldUs: number;
  leastUs: number;
  mostUs: number;
  runs: number;
  dead: number;
};

/** `idOf`: the prediction of each key. */
export function measureDevices(
  runs: readonly HeldRun[],
  records: readonly MeterRecord[],
  idOf: ReadonlyMap<string, string>,
): MeasuredDevice[] {
  const attempts = [...Map.groupBy(records.filter(isAttempt), attemptOf).values()];
  const untold = new Set(attempts.filter((one) => !isTold(one)).flatMap((one) => one[0]?.prediction ?? []));
  const told = new Map<string, number>();
  for (const one of attempts.filter(isTold))
    for (const { device, gpuUs } of one) told.set(device, (told.get(device) ?? 0) + gpuUs);
  return [...new Set([...runs.map(({ device }) => device), ...told.keys()])].map((device) => {
    const own = runs.filter((run) => run.device === device);
    const lives = [...Map.groupBy(own, ({ pool }) => pool).values()];
    return {
      device,
      toldUs: told.get(device) ?? 0,
      leastUs: lives.reduce((sum, life) => sum + leastUs(life, untold, idOf), 0),
      mostUs: lives.reduce((sum, life) => sum + unionUs(life.map(spanOf)), 0),
      runs: own.length,
      dead: own.filter(({ endedUs }) => endedUs === null).length,
    };
  });
}

/** What is not as it should be, a line each. `slackUs`: so much more may be told. */
export function judgeDevices(devices: readonly MeasuredDevice[], slackUs = 0): string[] {
  return devices.flatMap((one) => {
    const { toldUs, leastUs, mostUs, runs, dead } = one;
    if (toldUs < leastUs - runs * STEP_US) return [`usage: too little is told: ${lineOfDevice(one)}`];
    const limitUs = mostUs + slackUs + FEW_RUNS_US + runs * OVERHEAD_US + dead * DEATH_US;
    return toldUs > limitUs ? [`usage: too much is told: ${lineOfDevice(one)}`] : [];
  });
}

export function lineOfDevice({ device, toldUs, leastUs, mostUs, runs, dead }: MeasuredDevice): string {
  const [told, least, most] = [toldUs, leastUs, mostUs].map((us) => (us / 1000).toFixed(1));
  return `${device} was held for ${least} to ${most} ms by ${runs} runs (${dead} killed), and ${told} ms are told`;
}

/** For how long a pool's device was held of which all is told: where anything is not, until a moment before that. */
function leastUs(life: readonly HeldRun[], untold: ReadonlySet<string>, idOf: ReadonlyMap<string, string>): number {
  const isUntold = ({ keys }: HeldRun) => keys.some((key) => untold.has(idOf.get(key) ?? ""));
  const last = Math.max(...life.map((run) => spanOf(run)[1]));
  const first = Math.min(last, ...life.filter(isUntold).map(({ beganUs }) => beganUs));
  const until = untold.size === 0 ? Infinity : first - UNTOLD_US;
  return unionUs(life.map(spanOf).map(([from, to]) => [Math.min(from, until), Math.min(to, until)]));
}

function unionUs(spans: readonly Span[]): number {
  let us = 0;
  let until = 0;
  for (const [from, to] of spans.toSorted(([a], [b]) => a - b)) {
    us += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return us;
}

function spanOf({ beganUs, aliveUs, endedUs }: HeldRun): Span {
  return [beganUs, endedUs ?? aliveUs];
}

function isAttempt(record: MeterRecord): record is AttemptRecord {
  return record.kind === "attempt";
}

function attemptOf({ prediction, attempt }: AttemptRecord): string {
  return `${prediction}.${attempt}`;
}

/** Whether its pool told of it, at first or later, and the edge believed all of it. */
function isTold(records: readonly AttemptRecord[]): boolean {
  return !records.some(isDoubted) || records.some((one) => one.flags.includes("correction") && !isDoubted(one));
}

function isDoubted({ flags }: AttemptRecord): boolean {
  return flags.includes("estimated") || flags.includes("capped");
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
