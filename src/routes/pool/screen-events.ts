/**
 * What models say on its way to the shard: each piece passes `screenOutput` first; `onResult` is told how attempts
 * ended.
 */
import type { ClaimRef } from "../../contract/channel.ts";
import type { EventsReply, EventVerdict, PoolEvent } from "../../contract/event.ts";
import { modelPath } from "../../contract/manifest.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import type { OutputPart } from "../../../plugins/kernel/phases.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { runPhase } from "../../pipeline/run-phase.ts";
import type { Screened } from "../../shard/types.ts";
import { outputBlobPrefix } from "../../storage/blobs.ts";

/** Claims as their shards know them. */
export type Claims = { known: readonly Screened[]; late: readonly ClaimRef[] };

/** Throws `forbidden` for an event that names a blob of another claim. */
export function checkBlobs(events: readonly PoolEvent[]): void {
  for (const event of events) {
    if (event.type !== "succeeded" || event.outputBlob === undefined) continue;
    if (event.outputBlob.startsWith(outputBlobPrefix(event.id, event.token))) continue;
    throw new EdgeplaneError("forbidden", `The output of ${event.id} names a blob that its claim did not make.`);
  }
}

/** Whether any plugin wants to know of events. */
export function isScreened(snapshot: Snapshot): boolean {
  return snapshot.phases.has("screenOutput") || snapshot.phases.has("onResult");
}

/** Each claim of `events` once. */
export function claimsOf(events: readonly ClaimRef[]): ClaimRef[] {
  return [...new Map(events.map(({ id, token }) => [keyOf({ id, token }), { id, token }])).values()];
}

/**
 * Screens a batch of events. An output that a plugin refuses, or can't decide over, becomes the failure of its
 * prediction. Events of claims that are unknown, or whose shard is late, are left out and answered in `left`.
 */
export async function screenEvents(
  snapshot: Snapshot,
  given: readonly PoolEvent[],
  claims: Claims,
): Promise<{ events: PoolEvent[]; left: EventVerdict[] }> {
  const known = new Map(claims.known.map((claim) => [keyOf(claim), claim]));
  const late = new Set(claims.late.map(keyOf));
  const events: PoolEvent[] = [];
  for (const event of given) {
    const claim = known.get(keyOf(event));
    if (claim !== undefined) events.push(await screen(snapshot, event, claim));
  }
  const left = claimsOf(given)
    .filter((claim) => !known.has(keyOf(claim)))
    .map((claim) => ({ ...claim, verdict: late.has(keyOf(claim)) ? ("later" as const) : ("stale" as const) }));
  return { events, left };
}

/** Runs `onResult` for the endings that their shard has stored. */
export async function noticeEndings(
  snapshot: Snapshot,
  events: readonly PoolEvent[],
  claims: readonly Screened[],
  reply: EventsReply,
): Promise<void> {
  if (!snapshot.phases.has("onResult")) return;
  const stored = new Set(reply.verdicts.filter((one) => one.verdict === "ok").map(keyOf));
  const known = new Map(claims.map((claim) => [keyOf(claim), claim]));
  for (const event of events) {
    if (event.type !== "succeeded" && event.type !== "failed") continue;
    const claim = known.get(keyOf(event));
    if (claim === undefined || !stored.has(keyOf(event))) continue;
    const hooks = await snapshot.of(claim.accountId, modelPath(claim.model));
    await runPhase(hooks, "onResult", {
      predictionId: event.id,
      accountId: claim.accountId,
      model: claim.model,
      outcome: event.type,
      errorCode: event.type === "failed" ? event.error.code : null,
      metrics: event.metrics ?? {},
    }).catch(() => {});
  }
}

async function screen(snapshot: Snapshot, event: PoolEvent, claim: Screened): Promise<PoolEvent> {
  const part = partOf(event, claim);
  if (part === null) return event;
  try {
    const hooks = await snapshot.of(claim.accountId, modelPath(claim.model));
    const { output } = await runPhase(hooks, "screenOutput", part);
    return withOutput(event, output);
  } catch (thrown) {
    if (!(thrown instanceof EdgeplaneError)) throw thrown;
    const { id, token, seq } = event;
    return { id, token, seq, type: "failed", kind: "model", error: { code: thrown.code, message: thrown.message } };
  }
}

function partOf(event: PoolEvent, { id, accountId, model }: Screened): OutputPart | null {
  const of = { predictionId: id, accountId, model, held: null };
  switch (event.type) {
    case "output":
      return { ...of, of: "output", part: "chunk", output: event.chunk };
    case "log":
      return { ...of, of: "logs", part: "chunk", output: event.text };
    case "failed":
      return { ...of, of: "error", part: "whole", output: event.error.message };
    case "succeeded":
      return event.output === undefined ? null : { ...of, of: "output", part: "whole", output: event.output };
    default:
      return null;
  }
}

function withOutput(event: PoolEvent, output: Json): PoolEvent {
  switch (event.type) {
    case "output":
      return { ...event, chunk: output };
    case "log":
      return { ...event, text: String(output) };
    case "failed":
      return { ...event, error: { ...event.error, message: String(output) } };
    case "succeeded":
      return { ...event, output };
    default:
      return event;
  }
}

function keyOf({ id, token }: ClaimRef): string {
  return `${id} ${token}`;
}
