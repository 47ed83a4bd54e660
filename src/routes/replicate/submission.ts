/** From a client's request to what a shard accepts: the id, the deadlines, the webhook, where the input is kept. */
import { screensOutput } from "../../contract/attached-plugin.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { derivedPredictionId, newPredictionId } from "../../contract/ids.ts";
import type { Manifest } from "../../contract/manifest.ts";
import { numericVar } from "../../contract/numeric-vars.ts";
import { keyFor } from "../../contract/signing.ts";
import { canonicalJson } from "../../../plugins/kernel/canonical-json.ts";
import type { PredictionCall } from "../../../plugins/kernel/phases.ts";
import { sha256Hex } from "../../../plugins/kernel/secret.ts";
import { responseKeyOf } from "../../responses/service.ts";
import type { Submission } from "../../shard/types.ts";
import { INLINE_INPUT_BYTES, inputBlobKey } from "../../storage/blobs.ts";
import { childTraceparent } from "../../telemetry/trace.ts";
import { checkTarget } from "../../webhooks/target.ts";
import type { AppContext } from "../app.ts";
import type { Chosen } from "./choose-version.ts";
import type { CreateBody } from "./create-body.ts";
import type { Reference } from "./find-target.ts";
import type { ScreenedCall } from "./screen-call.ts";

const allEvents: CreateBody["webhook_events_filter"] = ["start", "output", "logs", "completed"];

/** What a request's prediction is known by, and what tells another payload under the same client's key. */
export type Identity = { id: string; payloadHash: string; keyed: boolean };

/** What the phases decided over, without what only they need. */
export type AcceptedCall = Omit<PredictionCall, "inputBytes">;

/** What the request, its headers and the phases decided. */
export type Accepting = {
  body: CreateBody;
  chosen: Chosen;
  screened: ScreenedCall;
  identity: Identity;
  cancelAfterMs: number | null;
  /** The deployment that names the version, if one does. */
  deployment: string | null;
  /** How long one run may take by that deployment. */
  runLimitMs: number | undefined;
  /** The answer is a stream of events, so that chunks must come as they are made. */
  streams: boolean;
};

/**
 * `key`: what the client names its prediction by. `reference`: what names the version; of a deployment, the next
 * release is the same request still.
 */
export async function identify(
  c: AppContext,
  { key, body, reference }: { key: string | null; body: CreateBody; reference: Reference | string },
): Promise<Identity> {
  const shards = numericVar(c.env, "SHARD_COUNT");
  if (key === null) return { id: newPredictionId(shards), payloadHash: "", keyed: false };
  const secret = await keyFor(c.env.EDGEPLANE_SECRET, "ids");
  const id = await derivedPredictionId(secret, c.get("principal").accountId, key, shards);
  return { id, payloadHash: await sha256Hex(canonicalJson({ ...body, reference })), keyed: true };
}

/** Makes the submission of a request. Throws `invalid_input` for a header or a webhook that can't be. */
export async function toSubmission(c: AppContext, accepting: Accepting): Promise<Submission> {
  const { body, deployment, identity } = accepting;
  const { call, reservations, verdicts, answer } = accepting.screened;
  const { canary, version } = accepting.chosen;
  const { manifest } = version;
  const { id } = identity;
  const kept = reservations.filter(({ untilAccepted }) => untilAccepted !== true);
  const responseKey = answer?.key ?? responseKeyOf(kept);
  const isLarge = exceeds(JSON.stringify(call.input), INLINE_INPUT_BYTES);
  return {
    ...identity,
    accountId: call.principal.accountId,
    credentialId: call.principal.credentialId,
    model: call.model,
    lane: call.lane,
    priority: call.priority,
    cost: call.cost,
    weight: call.principal.weight,
    input: call.input,
    inputBlob: isLarge ? inputBlobKey(id) : null,
    retentionMs: call.principal.retentionMs,
    startTimeoutMs: Math.min(call.startTimeoutMs, call.totalTimeoutMs),
    totalTimeoutMs: call.totalTimeoutMs,
    cancelAfterMs: accepting.cancelAfterMs,
    webhook: webhookOf(c, body.webhook),
    webhookEvents: [...new Set(body.webhook_events_filter ?? allEvents)],
    stream: accepting.streams || (body.stream ?? mayIterate(manifest)),
    iterates: mayIterate(manifest),
    resumesDeterministically: manifest.resumesDeterministically,
    origin: originOf(c.req.url),
    source: "api",
    traceparent: childTraceparent(c.req.header("traceparent")),
    replayOf: null,
    deployment,
    ...(canary === null ? {} : { canary }),
    ...(screensOutput(version.bundle?.plugins ?? []) ? { isGuarded: true } : {}),
    ...(call.pricing === undefined ? {} : { pricing: call.pricing }),
    ...(accepting.runLimitMs === undefined ? {} : { runLimitMs: accepting.runLimitMs }),
    ...(answer === null ? {} : { answer }),
    ...(responseKey === undefined ? {} : { responseKey }),
    ...(kept.length === 0 ? {} : { reservations: kept }),
    ...(verdicts.length === 0 ? {} : { verdicts: [...verdicts] }),
  };
}

/** What the client names its prediction by, in a namespace of its own; null when it leaves the id to us. */
export function clientKey(ownId: string | undefined, idempotencyKey: string | undefined): string | null {
  if (ownId !== undefined) return ownKey(ownId);
  return idempotencyKey === undefined ? null : `key ${idempotencyKey}`;
}

/** The key that the id of a `PUT` stands for. */
export function ownKey(ownId: string): string {
  return `put ${ownId}`;
}

function webhookOf(c: AppContext, text: string | null | undefined): string | null {
  if (text === undefined || text === null || text === "") return null;
  const decision = checkTarget(text, { allowLoopback: c.env.ALLOW_LOOPBACK_TARGETS === "1" });
  if (decision.ok) return decision.url.href;
  throw new EdgeplaneError("invalid_input", `- webhook: ${decision.reason}\n`, {
    invalidFields: [{ field: "webhook", description: decision.reason }],
  });
}

/** Whether the model yields its output in pieces; one that never loaded may. */
function mayIterate(manifest: Manifest): boolean {
  return manifest.streams !== "no" || manifest.schema === null;
}

export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}

/** Of an address as the platform writes it: absolute, with a path, without credentials. */
export function originOf(url: string): string {
  return url.slice(0, url.indexOf("/", "https://".length));
}

function exceeds(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && utf8Length(text) > bytes;
}
