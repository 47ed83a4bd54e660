/** A pool's own `/status`, as tables. What an older or a newer pool doesn't say is left out. */
import * as z from "zod";
import type { Io } from "../io.ts";
import { bytesText, printLine, printTable } from "../output.ts";

const Maybe = z.number().nullish();
const Words = z.string().nullish();

export const StatusSchema = z.looseObject({
  pool: z.string(),
  session: z.string(),
  state: z.string(),
  edge: z.string(),
  lanes: z.array(z.string()),
  problem: Words,
  isolation: z.looseObject({ kind: z.string(), why: Words }).optional(),
  memoryCaps: z.looseObject({ kind: z.string(), why: Words }).optional(),
  cudaVersion: Words,
  preemption: z.looseObject({ notice: z.looseObject({ why: z.string(), withinMs: z.number() }).nullish() }).optional(),
  pressure: z
    .looseObject({
      disk: z.looseObject({ freeBytes: Maybe, problem: Words }),
      inputs: z.looseObject({ bytes: Maybe, problem: Words }),
      uploads: z.looseObject({ bytes: Maybe, problem: Words }),
    })
    .optional(),
  environments: z
    .looseObject({
      mayStore: z.boolean().nullish(),
      unpacked: z.number(),
      stored: z.number(),
      waiting: z.number(),
      progress: Words,
      problem: Words,
      onlyHere: Words,
    })
    .optional(),
  delivery: z.looseObject({ undelivered: z.number(), spooled: z.number() }).optional(),
  devices: z.array(
    z.looseObject({
      id: z.string(),
      name: z.string(),
      memoryBytes: Maybe,
      usedBytes: Maybe,
      utilizationPercent: Maybe,
      temperatureCelsius: Maybe,
      powerWatts: Maybe,
      problem: Words,
    }),
  ),
  models: z.array(
    z.looseObject({
      model: z.string(),
      version: z.string(),
      state: z.string(),
      lane: z.string(),
      waiting: z.number(),
      held: z.number(),
      problem: Words,
      misconfigured: Words,
      pausedBy: Words,
      runMs: Maybe,
      rates: z.looseObject({ grantedPerSecond: z.number(), endedPerSecond: z.number() }).optional(),
      instances: z.array(
        z.looseObject({
          name: z.string(),
          state: z.string(),
          devices: z.array(z.string()),
          deviceBytes: Maybe,
          restarts: z.number(),
          lastDeath: Words,
          pid: Maybe,
          runningBatches: z.number(),
          freeSlots: z.number(),
        }),
      ),
    }),
  ),
});
type Status = z.output<typeof StatusSchema>;

export function showStatus(io: Io, status: Status): void {
  const { pool, state, edge, lanes, isolation, memoryCaps, cudaVersion, pressure, environments, delivery } = status;
  printLine(io, `${pool}: ${state}, the edge is ${edge}; lanes ${lanes.join(", ")}`);
  if (isolation !== undefined) printLine(io, `isolation: ${isolation.kind}${because(isolation.why)}`);
  if (memoryCaps !== undefined) printLine(io, `memory of models: ${memoryCaps.kind}${because(memoryCaps.why)}`);
  if (isSaid(cudaVersion)) printLine(io, `the driver runs CUDA up to ${cudaVersion}`);
  if (pressure !== undefined)
    printLine(
      io,
      `disk: ${text(pressure.disk.freeBytes, bytesText)} free; input files ${text(pressure.inputs.bytes, bytesText)}, uploads ${text(pressure.uploads.bytes, bytesText)}`,
    );
  if (environments !== undefined) printLine(io, environmentsLine(environments));
  if (delivery !== undefined)
    printLine(io, `to deliver: ${delivery.undelivered} claims, ${delivery.spooled} results on disk`);
  for (const problem of hostProblemsOf(status)) printLine(io, `! ${problem}`);
  if (status.devices.length > 0) part(io, DEVICE_HEAD, status.devices.map(deviceRowOf));
  part(io, MODEL_HEAD, status.models.map(modelRowOf));
  for (const { model, problem, misconfigured } of status.models)
    for (const words of [problem, misconfigured]) if (isSaid(words)) printLine(io, `! ${model}: ${words}`);
  part(io, INSTANCE_HEAD, status.models.flatMap(instanceRowsOf));
}

/** What it has of other hosts, and others of it. */
function environmentsLine(environments: NonNullable<Status["environments"]>): string {
  const { mayStore, unpacked, stored, waiting, progress, problem, onlyHere } = environments;
  const right = mayStore === false ? " (the token may store none)" : "";
  const now = waiting === 0 ? "" : `, ${waiting} to store${because(progress)}`;
  const alone = isSaid(onlyHere) ? `; one is built on each host: ${onlyHere}` : "";
  return `environments: ${unpacked} unpacked, ${stored} stored for other hosts${right}${now}${alone}${isSaid(problem) ? `; ! ${problem}` : ""}`;
}

/** What ails the host itself. */
function hostProblemsOf({ problem, preemption, pressure, devices }: Status): string[] {
  const notice = preemption?.notice ?? null;
  return [
    ...(isSaid(problem) ? [problem] : []),
    ...(notice === null ? [] : [`it is taken away within ${Math.ceil(notice.withinMs / 1000)} s: ${notice.why}`]),
    ...[pressure?.disk.problem, pressure?.inputs.problem, pressure?.uploads.problem].filter(isSaid),
    ...devices.flatMap((device) => (isSaid(device.problem) ? [`device ${device.id}: ${device.problem}`] : [])),
  ];
}

function isSaid(words: string | null | undefined): words is string {
  return words !== null && words !== undefined;
}

function part(io: Io, head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): void {
  printLine(io, "");
  printTable(io, head, rows);
}

function text(value: number | null | undefined, show: (value: number) => string): string {
  return value === null || value === undefined ? "–" : show(value);
}

const because = (why: string | null | undefined): string => (isSaid(why) ? ` (${why})` : "");
const percent = (value: number): string => `${value} %`;

const DEVICE_HEAD = ["device", "name", "memory", "used", "busy", "temperature", "power"] as const;

function deviceRowOf(device: Status["devices"][number]): string[] {
  return [
    device.id,
    device.name,
    text(device.memoryBytes, bytesText),
    text(device.usedBytes, bytesText),
    text(device.utilizationPercent, percent),
    text(device.temperatureCelsius, (value) => `${value} °C`),
    text(device.powerWatts, (value) => `${Math.round(value)} W`),
  ];
}

const MODEL_HEAD = [
  "model",
  "version",
  "lane",
  "state",
  "waiting",
  "held",
  "run",
  "in/s",
  "out/s",
  "paused by",
] as const;

function modelRowOf(one: Status["models"][number]): (string | number | null)[] {
  const { model, version, lane, state, waiting, held, runMs, rates, pausedBy } = one;
  return [
    ...[model, version.slice(0, 12), lane, state, waiting, held],
    text(runMs, (ms) => `${Math.round(ms)} ms`),
    text(rates?.grantedPerSecond, (rate) => rate.toFixed(1)),
    text(rates?.endedPerSecond, (rate) => rate.toFixed(1)),
    pausedBy ?? null,
  ];
}

const INSTANCE_HEAD = [
  "instance",
  "state",
  "devices",
  "takes",
  "runs",
  "free",
  "pid",
  "restarts",
  "last death",
] as const;

function instanceRowsOf({ instances }: Status["models"][number]): (string | number | null)[][] {
  return instances.map((one) => [
    ...[one.name, one.state, one.devices.join(","), text(one.deviceBytes, bytesText)],
    ...[one.runningBatches, one.freeSlots, one.pid ?? null, one.restarts, one.lastDeath ?? null],
  ]);
}
