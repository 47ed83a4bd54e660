/** `edgeplane predict`: runs a model, shows its place and its output, and saves its files. */
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import * as z from "zod";
import { Refusal } from "../client.ts";
import type { Client } from "../client.ts";
import { parseModelName, parseOptions, segment } from "../context.ts";
import type { Context, ModelName } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { eventsOf } from "../events.ts";
import { readInput } from "../inputs.ts";
import type { Io } from "../io.ts";
import { createProgress, note, printJson, printLine } from "../output.ts";
import type { Progress } from "../output.ts";
import { failureOf, hasEnded, lastLogs, PredictionSchema, progressOf } from "../prediction.ts";
import type { Prediction } from "../prediction.ts";
import { saveFiles } from "../saved-files.ts";

/** Of what the model printed, where it failed. */
const SHOWN_LOG_LINES = 20;
/** How long the first read takes at least, by how much longer the next ones do, and how long any does at most. */
const READ_STEP_MS = 20;
const MAX_READ_STEP_MS = 200;
/** Reads in a row that find the gateway away, and the pauses between them. */
const MAX_AWAY = 10;
const AWAY_PAUSE_MS = 1000;

export const PredictOptionsSchema = z.object({
  input: z.array(z.string()).default([]),
  inputJson: z.string().optional(),
  priority: z.enum(["high", "normal", "low"]).optional(),
  timeout: z.string().optional(),
  startTimeout: z.string().optional(),
  output: z.string().optional(),
  detach: z.boolean().default(false),
});
export type PredictOptions = z.infer<typeof PredictOptionsSchema>;

const VersionSchema = z.object({
  openapi_schema: z.unknown(),
  streams: z.enum(["no", "iterate", "concatenate"]),
});
type Version = z.infer<typeof VersionSchema>;
const ModelSchema = z.object({ latest_version: VersionSchema.nullable() });

/** What `predict` and `run` have in common. */
export function withPredictOptions(command: Command): Command {
  const collect = (value: string, before: string[] = []): string[] => [...before, value];
  return command
    .option("-i, --input <name=value>", "a field of the input; name=@file for a file (may be repeated)", collect)
    .option("--input-json <json>", "the whole input: JSON, @file, or - for standard input")
    .option("--priority <priority>", "high, normal or low (default: normal)")
    .option("--start-timeout <duration>", "how long it may wait, such as 30s or 5m (default: the model's)")
    .option("--timeout <duration>", "how long it may take in all (default: the model's)")
    .option("-o, --output <folder>", "save the files that the model puts out into this folder");
}

export function addPredict(program: Command, context: Context): void {
  withPredictOptions(program.command("predict <model>").description("run a model and print its output"))
    .option("--detach", "print the prediction's id and leave")
    .addHelpText(
      "after",
      "\nOutput that the model yields is printed as it comes. Ctrl-C cancels the prediction.\n\n  edgeplane predict local/hello-world -i text=Ada",
    )
    .action(async (model: string, options: unknown) =>
      predict(context, parseModelName(model), parseOptions(PredictOptionsSchema, options)),
    );
}

async function predict(context: Context, model: ModelName, options: PredictOptions): Promise<void> {
  await predictThrough(context.client(), context.io, context.globals().json, model, options);
}

/** Runs a prediction through a gateway and prints it. Throws a `CliError` unless it succeeded. */
export async function predictThrough(
  client: Client,
  io: Io,
  json: boolean,
  model: ModelName,
  options: PredictOptions,
): Promise<void> {
  const version = await readVersion(client, model);
  const input = await readInput(io, client, {
    pairs: options.input,
    json: options.inputJson,
    schema: version?.openapi_schema,
  });
  const created = await create(client, model, input, options);
  if (options.detach) return json ? printJson(io, created) : printLine(io, created.id);

  const progress = createProgress(io);
  const streams = !json && version !== null && version.streams !== "no" && created.urls.stream !== undefined;
  let isPrinted = false;
  const ended = await untilInterrupted(io, client, created.id, async (signal) => {
    if (streams) isPrinted = await printStream(io, client, created, version, progress, signal);
    return follow(client, created, progress, signal);
  }).finally(() => progress.clear());
  if (json) printJson(io, ended);
  if (ended.status !== "succeeded") {
    const logs = lastLogs(ended, SHOWN_LOG_LINES);
    if (logs !== "") note(io, logs);
    throw failureOf(ended);
  }
  if (!json && !isPrinted) printOutput(io, streams && version !== null ? linesOf(ended.output, version) : ended.output);
  if (options.output === undefined) return;
  const folder = resolve(io.cwd, options.output);
  for (const path of await saveFiles(client, ended.id, ended.output, folder)) note(io, `saved ${path}`);
}

async function readVersion(client: Client, { owner, name, version }: ModelName): Promise<Version | null> {
  const path = `/models/${owner}/${name}`;
  if (version !== null) return client.api(VersionSchema, "GET", `${path}/versions/${version}`);
  return (await client.api(ModelSchema, "GET", path)).latest_version;
}

async function create(
  client: Client,
  { owner, name, version }: ModelName,
  input: unknown,
  options: PredictOptions,
): Promise<Prediction> {
  const { priority, timeout, startTimeout } = options;
  const path = version === null ? "" : `/versions/${version}`;
  return client.api(PredictionSchema, "POST", `/models/${owner}/${name}${path}/predictions`, {
    body: {
      input,
      ...(priority === undefined ? {} : { priority }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(startTimeout === undefined ? {} : { start_timeout: startTimeout }),
    },
    headers: { prefer: "respond-async", "idempotency-key": randomUUID() },
    repeatable: true,
  });
}

/** At Ctrl-C the prediction is canceled. */
async function untilInterrupted<T>(
  io: Io,
  client: Client,
  id: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const forget = io.onInterrupt(() => stop.abort());
  try {
    return await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    await client.api(PredictionSchema, "POST", `/predictions/${segment(id)}/cancel`, { repeatable: true });
    throw new CliError(`${id} was canceled`, exitCodes.interrupted);
  } finally {
    forget();
  }
}

/**
 * Reads until it has ended. The gateway holds each read for about a second. Where it has too many of them, or the model
 * prints without a pause, it answers at once: then the next read waits.
 */
async function follow(
  client: Client,
  created: Prediction,
  progress: Progress,
  signal: AbortSignal,
): Promise<Prediction> {
  const startedAt = performance.now();
  let last = created;
  for (let stepMs = READ_STEP_MS; !hasEnded(last); stepMs = Math.min(stepMs + READ_STEP_MS, MAX_READ_STEP_MS)) {
    progress.say(progressOf(last, performance.now() - startedAt));
    const askedAtMs = performance.now();
    last = await readAgain(client, created.id, signal);
    const leftMs = askedAtMs + stepMs - performance.now();
    if (leftMs > 0 && !hasEnded(last)) await sleep(leftMs, undefined, { signal });
  }
  return last;
}

/** A gateway that is away may be back soon: what it accepted goes on. */
async function readAgain(client: Client, id: string, signal: AbortSignal): Promise<Prediction> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await client.api(PredictionSchema, "GET", `/predictions/${segment(id)}`, { signal });
    } catch (error) {
      if (signal.aborted || !isAway(error)) throw error;
      if (failures >= MAX_AWAY)
        throw new CliError(error.message, error.exitCode, `\`edgeplane predictions show ${id}\``);
    }
    await sleep(AWAY_PAUSE_MS, undefined, { signal });
  }
}

function isAway(error: unknown): error is CliError {
  return error instanceof CliError && error.exitCode === exitCodes.unreachable;
}

/** Prints each chunk as it comes; until the first one, the place. False: the stream can't be had. */
async function printStream(
  io: Io,
  client: Client,
  created: Prediction,
  { streams }: Version,
  progress: Progress,
  signal: AbortSignal,
): Promise<boolean> {
  const began = new AbortController();
  const waiting = follow(client, created, progress, AbortSignal.any([signal, began.signal])).catch(() => {});
  let hasPrinted = false;
  try {
    for await (const { event, data } of eventsOf(client, created.id, signal)) {
      if (event !== "output") continue;
      began.abort();
      progress.clear();
      hasPrinted = true;
      io.stdout.write(streams === "concatenate" ? data : `${data}\n`);
    }
    if (hasPrinted && streams === "concatenate") io.stdout.write("\n");
    return true;
  } catch (error) {
    const isRefused = error instanceof Refusal && error.code === "too_many_streams";
    if (!hasPrinted && (isRefused || isAway(error))) return false;
    throw error;
  } finally {
    began.abort();
    await waiting;
  }
}

/** What a stream would have printed. */
function linesOf(output: unknown, { streams }: Version): unknown {
  if (!Array.isArray(output)) return output;
  const chunks = output.map((chunk: unknown) => (typeof chunk === "string" ? chunk : JSON.stringify(chunk)));
  return chunks.join(streams === "concatenate" ? "" : "\n");
}

function printOutput(io: Io, output: unknown): void {
  if (typeof output === "string") printLine(io, output);
  else printJson(io, output);
}
