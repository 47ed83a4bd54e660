/** `/status`: everything that a person, a command or a page wants to know of a running pool, in one answer. */
import * as z from "zod";
import { modelPath } from "../../src/contract/manifest.ts";
import { ModelConfigurationSchema } from "../../src/contract/model-configuration.ts";
import type { Pool } from "../pool.ts";
import type { PreemptionWatch } from "../preemption/watch.ts";
import type { DeviceWatch } from "../runtime/devices/device-watch.ts";
import type { IsolationState } from "../runtime/isolation/types.ts";
import type { MemoryCaps } from "../runtime/memory-caps/types.ts";
import type { ModelRunner } from "../runtime/model-runner.ts";
import { versionKey } from "../version-key.ts";
import type { Metrics } from "./metrics.ts";

const Number0 = z.number().nonnegative();
/** Why something isn't well; null while it is. */
const Problem = z.string().nullable();

const DeviceSchema = z.object({
  id: z.string(),
  uuid: z.string(),
  name: z.string(),
  memoryBytes: Number0.nullable(),
  usedBytes: Number0.nullable(),
  utilizationPercent: Number0.nullable(),
  temperatureCelsius: z.number().nullable(),
  powerWatts: Number0.nullable(),
  uncorrectedEccErrors: Number0.nullable(),
  /** Why nothing new is put on it. */
  problem: Problem,
  /** It is missing, and may be back in a moment. */
  isAwaited: z.boolean(),
});

const InstanceSchema = z.object({
  name: z.string(),
  state: z.enum(["stopped", "starting", "ready", "busy", "waiting", "looping", "broken"]),
  /** Where it is; empty without a place. */
  devices: z.array(z.string()),
  /** What it is taken to use of each of them. */
  deviceBytes: Number0.nullable(),
  restarts: Number0,
  /** Why its last process died that was not told to. */
  lastDeath: z.string().nullable(),
  pid: z.number().nullable(),
  /** Batches that it runs, and those that it could begin. */
  runningBatches: Number0,
  freeSlots: Number0,
});

const ModelSchema = z.object({
  /** `owner/name`. */
  model: z.string(),
  state: InstanceSchema.shape.state,
  version: z.string(),
  /** It is offered no more, and ends when what runs is over. */
  isLeaving: z.boolean(),
  lane: z.string(),
  /** Granted and not running; granted and not ended. */
  waiting: Number0,
  held: Number0,
  /** Why it can't be set up here. */
  problem: Problem,
  /** What the edge says in place of its files; why what it said last doesn't hold. */
  configuration: ModelConfigurationSchema,
  misconfigured: Problem,
  /** Why it takes nothing for now: what of this host runs short, or of what its processes die in a row. */
  pausedBy: Problem,
  /** What its last batches took; null before the first. */
  runMs: Number0.nullable(),
  /** What batches took of memory, by their cost: their number times the largest cost in them. */
  memoryByCost: z.array(z.object({ cost: Number0, bytes: Number0 })),
  rates: z.object({ grantedPerSecond: Number0, endedPerSecond: Number0 }),
  instances: z.array(InstanceSchema),
});

export const StatusSchema = z.object({
  devices: z.array(DeviceSchema),
  /** Why no GPU can be used, or what was complained of beside those that can. */
  problem: Problem,
  /** The newest CUDA that the driver runs; null where nobody knows. */
  cudaVersion: z.string().nullable(),
  /** What isolates its models, or why nothing does. */
  isolation: z.object({ kind: z.enum(["namespaces", "user", "none"]), why: z.string().nullable() }),
  /** What keeps models within their `memoryBytes`, and why it isn't the kernel. */
  memoryCaps: z.object({ kind: z.enum(["cgroup", "watchdog"]), why: z.string().nullable() }),
  pool: z.string(),
  session: z.string(),
  state: z.enum(["serving", "draining"]),
  edge: z.enum(["connected", "away"]),
  lanes: z.array(z.string()),
  preemption: z.object({
    /** Whose notices it waits for. */
    cloud: z.enum(["aws", "gcp", "azure"]).nullable(),
    notice: z.object({ withinMs: Number0, why: z.string() }).nullable(),
  }),
  /** What of the host may run short. */
  pressure: z.object({
    disk: z.object({ freeBytes: Number0.nullable(), problem: Problem }),
    inputs: z.object({ bytes: Number0, problem: Problem }),
    uploads: z.object({ bytes: Number0, problem: Problem }),
  }),
  /** Environments that hosts share: what this life of the pool unpacked and stored, and what it does now. */
  environments: z.object({
    mayStore: z.boolean().nullable(),
    unpacked: Number0,
    stored: Number0,
    waiting: Number0,
    progress: z.string().nullable(),
    problem: Problem,
    onlyHere: z.string().nullable(),
  }),
  /** Claims with events that the edge lacks; finished results kept on disk. */
  delivery: z.object({ undelivered: Number0, spooled: Number0 }),
  models: z.array(ModelSchema),
});
export type Status = z.infer<typeof StatusSchema>;

export type StatusSources = {
  name: string;
  pool: Pool;
  devices: DeviceWatch;
  isolation: IsolationState;
  memoryCaps: MemoryCaps;
  preemption: PreemptionWatch;
  metrics: Metrics;
  nowMs: number;
};

export function statusOf(sources: StatusSources): Status {
  const { name, pool, devices, isolation, memoryCaps, preemption, metrics, nowMs } = sources;
  const { disk, inputs, uploads } = pool.pressure;
  return {
    devices: devices.report.cuda,
    problem: devices.report.problem,
    cudaVersion: devices.cudaVersion,
    isolation: { kind: isolation.kind, why: isolation.why },
    memoryCaps: { kind: memoryCaps.kind, why: memoryCaps.why },
    pool: name,
    session: pool.session,
    state: pool.draining ? "draining" : "serving",
    edge: pool.channelOpen ? "connected" : "away",
    lanes: pool.models.lanes,
    preemption: { cloud: preemption.cloud, notice: preemption.notice },
    pressure: {
      disk: { freeBytes: disk.freeBytes, problem: disk.problem },
      inputs: { bytes: inputs.bytes, problem: inputs.problem },
      uploads: { bytes: uploads.bytes, problem: uploads.problem },
    },
    environments: { ...pool.layers.state },
    delivery: { undelivered: pool.undelivered, spooled: pool.spooled },
    models: pool.runners.map((runner) => modelOf(runner, metrics, nowMs)),
  };
}

function modelOf(runner: ModelRunner, metrics: Metrics, nowMs: number): Status["models"][number] {
  const { manifest } = runner.model;
  const model = modelPath(manifest);
  return {
    model,
    state: runner.instances.state,
    version: manifest.version,
    isLeaving: runner.isLeaving,
    lane: manifest.lane,
    waiting: runner.waiting,
    held: runner.held,
    problem: runner.problem?.message ?? null,
    configuration: runner.model.configuration,
    misconfigured: runner.model.misconfigured ?? null,
    pausedBy: runner.pausedBy,
    runMs: runner.load(nowMs).runMs,
    rates: metrics.rates.of(versionKey(manifest), nowMs),
    memoryByCost: runner.learned.memory,
    instances: instancesOf(runner),
  };
}

/** The processes of a model, as `/status` and `/models` tell of them. */
export function instancesOf(runner: ModelRunner): Status["models"][number]["instances"] {
  return runner.instances.all.map((instance) => ({
    name: instance.name,
    state: instance.state,
    devices: instance.placement === "none" ? [] : [...instance.devices],
    deviceBytes: runner.deviceBytesOf(instance),
    restarts: instance.restarts,
    lastDeath: instance.lastDeath,
    pid: instance.process?.pid ?? null,
    runningBatches: instance.runs.size,
    freeSlots: instance.freeSlots,
  }));
}
