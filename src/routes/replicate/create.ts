/** Accepts a prediction: from a client's request to the shard's answer. Every dialect of creating one ends here. */
import { derivedPredictionId, newPredictionId } from "../../contract/ids.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { isTerminal } from "../../contract/prediction.ts";
import type { Json, PredictionSnapshot } from "../../contract/prediction.ts";
import { hasHooks, runPhase } from "../../pipeline/run-phase.ts";
import type { PredictionCall } from "../../../plugins/kernel/phases.ts";
import { sha256Hex } from "../../../plugins/kernel/secret.ts";
import type { Version } from "../../registry/models.ts";
import { currentSnapshot } from "../../settings/current.ts";
import type { Submission } from "../../shard/types.ts";
import { INLINE_INPUT_BYTES, inputBlobKey } from "../../storage/blobs.ts";
import { presentPrediction } from "../../contract/present.ts";
import type { PredictionView } from "../../contract/present.ts";
import { keyFor } from "../../contract/signing.ts";
import { childTraceparent } from "../../telemetry/trace.ts";
import { checkTarget } from "../../webhooks/target.ts";
import type { AppContext, ShardPort } from "../app.ts";
import { parseWith, readJson } from "../body.ts";
import { CreateBodySchema, DurationSchema } from "./create-body.ts";
import type { CreateBody } from "./create-body.ts";
import { findTarget, parseReference, validatorOf } from "./find-target.ts";
import type { Reference } from "./find-target.ts";
import { parsePrefer } from "./prefer.ts";
import { openEventStream } from "./stream.ts";
import { showWhole } from "./view.ts";

const DEFAULT_COST = 1;
const MAX_KEY_LENGTH = 255;
const allEvents: CreateBody["webhook_events_filter"] = ["start", "output", "logs", "completed"];

/** `ownId` is the id of a `PUT`; `reference` the model that the path names. */
export type CreateOptions = { reference?: Reference; ownId?: string };

/**
 * Creates the prediction that the request's body asks for and answers it: 201 with the prediction, 202 when the
 * client chose or ran out of waiting, an event stream when it accepts nothing else. Throws `EdgeplaneError`.
 */
export async function createPrediction(c: AppContext, shard: ShardPort, options: CreateOptions): Promise<Response> {
  const prefer = parsePrefer(c.req.header("prefer"));
  const body = parseWith(CreateBodySchema, await readJson(c.req.raw));
  const reference = options.reference ?? referenceOf(body);
  const version = await findTarget(c.env.DB, reference);
  checkInput(version, body.input);
  const call = await screen(c, callOf(c, body, version));
  const streams = acceptsOnlyEvents(c.req.header("accept"));
  if (streams) body.stream = true;
  const submission = await toSubmission(c, body, version, call, clientKey(c, options.ownId), reference);
  const waitMs = streams ? 0 : prefer.waitMs;

  const answer = await submit(c, shard, submission, waitMs);
  if (streams) return openEventStream(c, shard, answer.prediction.id, "cog");
  const view = await shown(c, answered(answer.prediction, waitMs), call.input);
  const waiting = !isTerminal(answer.prediction.status) && (prefer.async || waitMs > 0);
  return c.json(view, waiting ? 202 : answer.created || options.ownId === undefined ? 201 : 200, {
    location: view.urls.get,
    ...(answer.created ? {} : { "idempotent-replayed": "true" }),
  });
}

type Accepted = { prediction: PredictionSnapshot; created: boolean };

async function submit(c: AppContext, shard: ShardPort, submission: Submission, waitMs: number): Promise<Accepted> {
  const { inputBlob } = submission;
  if (inputBlob !== null) await c.env.BLOBS.put(inputBlob, JSON.stringify(submission.input));
  const sent: Submission = inputBlob === null ? submission : { ...submission, input: null };
  const watch = submission.cancelOnDisconnect && waitMs > 0 ? cancelWhenClientLeaves(c, shard, submission) : null;
  const answer = await shard.submit(c.env, sent, waitMs);
  watch?.();
  if (answer.outcome === "conflict") {
    if (inputBlob !== null) await c.env.BLOBS.delete(inputBlob);
    throw new EdgeplaneError("idempotency_key_reused", "The key was used for a prediction with another payload.");
  }
  return { prediction: answer.prediction, created: answer.outcome === "created" };
}

/** The accepted prediction; its input is at hand, an output that is a blob is not. */
async function shown(c: AppContext, prediction: PredictionSnapshot, input: Json): Promise<PredictionView> {
  if (prediction.outputBlob !== null) return showWhole(c.env, prediction);
  return presentPrediction({ ...prediction, input }, c.env.EDGEPLANE_SECRET);
}

/** Cancels the prediction if the client goes away; the returned function ends the watch. */
function cancelWhenClientLeaves(c: AppContext, shard: ShardPort, submission: Submission): () => void {
  const { signal } = c.req.raw;
  const leave = (): void => {
    c.executionCtx.waitUntil(shard.cancelPrediction(c.env, submission.id, submission.accountId));
  };
  signal.addEventListener("abort", leave, { once: true });
  return () => signal.removeEventListener("abort", leave);
}

/**
 * Replicate's clients take any answer to a waiting call that isn't `starting` for a finished one: a prediction that
 * still runs when the wait is over is therefore answered as `starting`.
 */
function answered(prediction: PredictionSnapshot, waitMs: number): PredictionSnapshot {
  return waitMs > 0 && prediction.status === "processing" ? { ...prediction, status: "starting" } : prediction;
}

function referenceOf(body: CreateBody): Reference {
  const text = body.version ?? body.model;
  if (text !== undefined && text !== null) return parseReference(text);
  throw new EdgeplaneError("invalid_input", "- version: is required, unless `model` is given\n", {
    invalidFields: [{ field: "version", description: "is required, unless `model` is given" }],
  });
}

function checkInput(version: Version, input: Json): void {
  const invalidFields = validatorOf(version)(input);
  if (invalidFields.length === 0) return;
  const detail = invalidFields.map(({ field, description }) => `- ${field}: ${description}\n`).join("");
  throw new EdgeplaneError("invalid_input", detail, { invalidFields });
}

function callOf(c: AppContext, body: CreateBody, { manifest }: Version): PredictionCall {
  return {
    requestId: c.get("requestId"),
    principal: c.get("principal"),
    model: { owner: manifest.owner, name: manifest.name, version: manifest.version },
    lane: manifest.lane,
    priority: body.priority ?? "normal",
    cost: DEFAULT_COST,
    input: body.input,
    startTimeoutMs: body.start_timeout ?? manifest.startTimeoutMs,
    totalTimeoutMs: body.timeout ?? manifest.totalTimeoutMs,
  };
}

async function screen(c: AppContext, call: PredictionCall): Promise<PredictionCall> {
  const snapshot = await currentSnapshot(c.env);
  let current = call;
  for (const phase of ["admit", "screenInput", "route"] as const) {
    if (hasHooks(snapshot, phase)) current = await runPhase(snapshot, phase, current);
  }
  return current;
}

async function toSubmission(
  c: AppContext,
  body: CreateBody,
  { manifest }: Version,
  call: PredictionCall,
  key: string | null,
  reference: Reference,
): Promise<Submission> {
  const { accountId } = call.principal;
  const shards = Number(c.env.SHARD_COUNT);
  const id =
    key === null
      ? newPredictionId(shards)
      : await derivedPredictionId(await keyFor(c.env.EDGEPLANE_SECRET, "ids"), accountId, key, shards);
  const payloadHash = key === null ? "" : await sha256Hex(JSON.stringify(sorted({ ...body, reference })));
  const isLarge = utf8Length(JSON.stringify(call.input)) > INLINE_INPUT_BYTES;
  const blobName = key === null ? "input" : `input-${payloadHash.slice(0, 32)}`;
  return {
    id,
    accountId,
    model: call.model,
    lane: call.lane,
    priority: call.priority,
    cost: call.cost,
    input: call.input,
    inputBlob: isLarge ? inputBlobKey(id, blobName) : null,
    payloadHash,
    startTimeoutMs: Math.min(call.startTimeoutMs, call.totalTimeoutMs),
    totalTimeoutMs: call.totalTimeoutMs,
    cancelAfterMs: cancelAfterMs(c.req.header("cancel-after")),
    webhook: webhookOf(c, body.webhook),
    webhookEvents: [...new Set(body.webhook_events_filter ?? allEvents)],
    stream: body.stream ?? manifest.streams !== "no",
    resumesDeterministically: manifest.resumesDeterministically,
    origin: new URL(c.req.url).origin,
    source: "api",
    traceparent: childTraceparent(c.req.header("traceparent")),
    replayOf: null,
    keyed: key !== null,
    cancelOnDisconnect: body.cancel_on_disconnect ?? false,
  };
}

/** What the client names its prediction by, in a namespace of its own; null when it leaves the id to us. */
function clientKey(c: AppContext, ownId: string | undefined): string | null {
  if (ownId !== undefined) return ownKey(ownId);
  const key = c.req.header("idempotency-key");
  if (key === undefined) return null;
  if (key.length >= 1 && key.length <= MAX_KEY_LENGTH) return `key ${key}`;
  throw new EdgeplaneError("invalid_request", `\`Idempotency-Key\` takes 1 to ${MAX_KEY_LENGTH} characters.`);
}

/** The key that the id of a `PUT` stands for. */
export function ownKey(ownId: string): string {
  return `put ${ownId}`;
}

function cancelAfterMs(header: string | undefined): number | null {
  if (header === undefined) return null;
  return parseWith(DurationSchema, header, "Cancel-After");
}

function webhookOf(c: AppContext, text: string | null | undefined): string | null {
  if (text === undefined || text === null || text === "") return null;
  const decision = checkTarget(text, { allowLoopback: c.env.ALLOW_LOOPBACK_TARGETS === "1" });
  if (decision.ok) return decision.url.href;
  throw new EdgeplaneError("invalid_input", `- webhook: ${decision.reason}\n`, {
    invalidFields: [{ field: "webhook", description: decision.reason }],
  });
}

/** Whether a client wants events and can't read JSON. */
function acceptsOnlyEvents(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes("text/event-stream") && !accept.includes("application/json");
}

/** Keys in order, all the way down: the same payload in another order is the same payload. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

function utf8Length(text: string): number {
  return text.length * 3 <= INLINE_INPUT_BYTES ? text.length : new TextEncoder().encode(text).byteLength;
}
