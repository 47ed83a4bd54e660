/** What a model process says (python/PROTOCOL.md). The process runs strangers' code: everything is checked here. */
import * as z from "zod";
import type { Json } from "../../src/contract/prediction.ts";

/** It came out of `JSON.parse`. */
const AnyJson = z.custom<Json>();
const MetricsSchema = z.record(z.string(), AnyJson);

/** What its libraries say that it has taken of a device. */
const DeviceBytesSchema = z.number().nonnegative().nullish();

const Bytes = z.number().nonnegative();

/** What a run took of its device, or of the host where its libraries tell of no device. */
const RunMemorySchema = z.object({
  of: z.enum(["device", "host"]),
  /** When it began, and at its most. */
  baseBytes: Bytes,
  peakBytes: Bytes,
});
export type RunMemory = z.infer<typeof RunMemorySchema>;

export const ControlMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("loaded"),
    schema: z.record(z.string(), AnyJson),
    batch: z.boolean(),
    async: z.boolean(),
    concurrency: z.number().int().positive(),
    streams: z.enum(["no", "iterate", "concatenate"]),
    /** How many runs a slot takes behind the one that runs. */
    ahead: z.number().int().nonnegative().default(0),
    healthcheck: z.boolean(),
  }),
  z.object({ type: z.literal("ready"), setupSeconds: z.number(), deviceBytes: DeviceBytesSchema }),
  z.object({ type: z.literal("setup_failed"), message: z.string(), traceback: z.string().default("") }),
  z.object({ type: z.literal("alive"), running: z.array(z.string()), deviceBytes: DeviceBytesSchema }),
  z.object({ type: z.literal("health"), healthy: z.boolean(), message: z.string().nullish() }),
]);
export type ControlMessage = z.infer<typeof ControlMessageSchema>;
export type Loaded = Extract<ControlMessage, { type: "loaded" }>;

export const SlotMessageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("started"), id: z.string() }),
  z.object({ type: z.literal("output"), id: z.string(), chunk: AnyJson.optional(), chunkFile: z.string().optional() }),
  z.object({ type: z.literal("log"), id: z.string().nullable(), text: z.string() }),
  z.object({ type: z.literal("metric"), id: z.string(), metrics: MetricsSchema }),
  z.object({
    type: z.literal("done"),
    id: z.string(),
    status: z.enum(["succeeded", "failed", "canceled"]),
    output: AnyJson.optional(),
    outputFile: z.string().optional(),
    error: z.string().nullish(),
    seconds: z.number().optional(),
    batchError: z.boolean().optional(),
    invalidInput: z.boolean().optional(),
    /** The process can use its device no more: what CUDA said. */
    deviceError: z.string().optional(),
    /** It failed as a disk of this host was full. */
    diskFull: z.boolean().optional(),
  }),
  /** Of each run, where slots take runs ahead. */
  z.object({ type: z.literal("begun"), batch: z.number() }),
  /** The model's call is over, and its outputs are made while the next run may begin. */
  z.object({ type: z.literal("called"), batch: z.number() }),
  z.object({ type: z.literal("idle"), batch: z.number(), memory: RunMemorySchema.nullish() }),
]);
export type SlotMessage = z.infer<typeof SlotMessageSchema>;
export type Done = Extract<SlotMessage, { type: "done" }>;

/** The pool to a slot. */
export type RunMessage = {
  type: "run";
  batch: number;
  items: { id: string; input?: Json; inputFile?: string; stream: boolean; context: { [key: string]: Json } }[];
};
