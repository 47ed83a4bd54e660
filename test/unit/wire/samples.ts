/**
 * What crosses between edge and pool, as today's edge and pool say it: a sample of each message with all that it may
 * carry. The types demand one for each message that the contract has.
 */
import type { DesiredLog, EdgeMessage, PoolMessage } from "../../../src/contract/channel.ts";
import { OLDEST_PROTOCOL, PROTOCOL } from "../../../src/contract/channel.ts";
import type { ClaimAnswer, ClaimRequest, Grant } from "../../../src/contract/claim.ts";
import type { EventsReply, EventsRequest, PoolEvent } from "../../../src/contract/event.ts";
import type { Job } from "../../../src/contract/job.ts";
import type { Manifest } from "../../../src/contract/manifest.ts";
import type { ParkedOutcome } from "../../../src/contract/parked.ts";
import type { AttemptUsage } from "../../../src/contract/usage.ts";

type Each<Message, Key extends keyof Message> = {
  [Name in Message[Key] & string]: Extract<Message, { [key in Key]: Name }>;
};

const id = "00abcdefghijklmnopqrstuvwx";
const session = "session-of-a-pool";
const claim = { id, token: "token" };
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

export const manifest: Manifest = {
  ...{
    owner: "ada",
    name: "echo",
    version: "a".repeat(64),
    description: "says it again",
    schema: { openapi: "3.0.2" },
  },
  ...{ lane: "default", maxBatchSize: 8, maxQueueDelayMs: 5, startTimeoutMs: 1000, totalTimeoutMs: 2000 },
  ...{ resumesDeterministically: true, minInstances: 1, deterministic: true, streams: "iterate" },
};

const log: DesiredLog = {
  ...{ epoch: 1, driver: "upstash", url: "http://127.0.0.1:1", username: "u", password: "p", readBothMs: 60_000 },
};

const grant: Grant = {
  ...{ ...claim, verdict: "granted", attempt: 2, startNow: true, alone: false },
  model: { owner: "ada", name: "echo", version: manifest.version },
  ...{ input: { text: "hi" }, inputBlob: "/pool/v1/blobs/x", startInMs: 1, endInMs: 2, cost: 1, stream: true, seq: 3 },
  runLimitMs: 5000,
  traceparent,
};

export const poolMessages: Each<PoolMessage, "type"> = {
  hello: {
    ...{ type: "hello", protocol: PROTOCOL, oldestProtocol: OLDEST_PROTOCOL, hears: ["something"] },
    ...{ session, previous: "session-before", pool: "host", version: "0.1.0", lanes: ["default"] },
    devices: [
      { id: "0", kind: "cuda", name: "H200", memoryBytes: 150_000_000_000 },
      { id: "cpu", kind: "cpu", name: "CPU", memoryBytes: null },
    ],
    ...{ isolation: "namespaces", models: [manifest], kv: { prefix: "edgeplane:", probe: "probe" } },
  },
  room: {
    ...{ type: "room", n: 3, full: true },
    lanes: [
      {
        lane: "default",
        models: [
          {
            ...{ model: "ada/echo", version: manifest.version, room: 8, startNow: 4, readyInMs: null },
            ...{ problem: "no memory", pausedBy: "its disk" },
          },
        ],
        ...{ seen: [id], ended: [{ id, ms: 12.5 }] },
      },
    ],
  },
  draining: { type: "draining" },
  parked: { type: "parked", n: 4 },
};

export const edgeMessages: Each<EdgeMessage, "type"> = {
  welcome: {
    ...{ type: "welcome", protocol: PROTOCOL, hears: ["something"], leaseMs: 15_000, eventsOpen: false },
    ...{ registersModels: true, refusedModels: [{ model: "ada/echo", version: manifest.version, reason: "full" }] },
    ...{ kv: { problem: "it doesn't answer", final: false }, log },
  },
  log: { type: "log", log },
  grants: { type: "grants", grants: [grant] },
  tell: { type: "tell" },
  work: { type: "work", lane: "default" },
  models: { type: "models" },
  configurations: { type: "configurations" },
  leave: { type: "leave", withinMs: 60_000 },
  cancel: { type: "cancel", claims: [claim] },
  settled: { type: "settled", n: 4, outcome: { outcome: "missing" } },
  probe: { type: "probe", claims: [claim] },
};

const at = { ...claim, seq: 0 };
const metrics = { predict_time: 1.5 };
const usage: AttemptUsage = {
  ...{ device: "NVIDIA H200", devices: 2, queuedMs: 4, runMs: 1500, gpuUs: 750_123 },
  units: { output_token_count: 12 },
};

export const events: Each<PoolEvent, "type"> = {
  starting: { ...at, type: "starting" },
  output: { ...at, type: "output", chunk: ["a", { b: null }] },
  log: { ...at, type: "log", text: "a line\n" },
  metric: { ...at, type: "metric", metrics },
  succeeded: { ...at, type: "succeeded", output: "done", outputBlob: "a-key", metrics, usage },
  failed: { ...at, type: "failed", kind: "model", error: { code: "model_error", message: "no" }, metrics, usage },
  released: { ...at, type: "released", reason: "setup", problem: "no memory", usage },
};

export const eventsRequest: Required<EventsRequest> = {
  ...{ session, events: Object.values(events), heartbeat: true },
  usage: [{ ...claim, attempt: 1, outcome: "bisected", usage }],
};

export const claimRequest: ClaimRequest = { session, jobs: [{ id, epoch: 1, startNow: true }] };

export const claimAnswers: Each<ClaimAnswer, "verdict"> = {
  granted: grant,
  refused: { id, verdict: "refused", reason: "granted_elsewhere" },
  later: { id, verdict: "later" },
};

export const eventsReply: EventsReply = {
  verdicts: [{ ...claim, verdict: "ok", next: 1, attempt: 2 }],
  cancel: [claim],
  usage: [{ token: "token", attempt: 1, verdict: "ok" }],
};

export const outcomes: Each<ParkedOutcome, "outcome"> = {
  answered: { outcome: "answered", reply: eventsReply },
  refused: { outcome: "refused", status: 400, message: "no" },
  missing: { outcome: "missing" },
};

export const job: Job = {
  ...{ v: 1, id, lane: "default", priority: "high", model: "ada/echo", version: manifest.version, cost: 1 },
  ...{ startBy: 1_800_000_000_000, epoch: 1, traceparent },
};
