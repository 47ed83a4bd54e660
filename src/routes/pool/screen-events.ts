/** Output on its way to the shard: each piece passes `screenOutput` first; `onResult` is told how attempts ended. */
import type { EventsReply, EventsRequest, PoolEvent } from "../../contract/event.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import type { OutputPart } from "../../../plugins/kernel/phases.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { hasHooks, runPhase } from "../../pipeline/run-phase.ts";
import { outputBlobPrefix } from "../../storage/blobs.ts";

/**
 * Checks and screens a batch of events. An output that a plugin refuses, or can't decide over, becomes the failure of
 * its prediction. Throws `forbidden` for an event that names a blob of another claim.
 */
export async function screenEvents(snapshot: Snapshot, request: EventsRequest): Promise<EventsRequest> {
  for (const event of request.events) checkBlob(event);
  if (!hasHooks(snapshot, "screenOutput")) return request;
  const events: PoolEvent[] = [];
  for (const event of request.events) events.push(await screen(snapshot, event));
  return { ...request, events };
}

/** Runs `onResult` for the endings that their shard has stored. */
export async function noticeEndings(
  snapshot: Snapshot,
  events: readonly PoolEvent[],
  reply: EventsReply,
): Promise<void> {
  if (!hasHooks(snapshot, "onResult")) return;
  const stored = new Set(reply.verdicts.filter((one) => one.verdict === "ok").map((one) => `${one.id} ${one.token}`));
  for (const event of events) {
    if (event.type !== "succeeded" && event.type !== "failed") continue;
    if (!stored.has(`${event.id} ${event.token}`)) continue;
    const errorCode = event.type === "failed" ? event.error.code : null;
    await runPhase(snapshot, "onResult", {
      predictionId: event.id,
      outcome: event.type,
      errorCode,
      metrics: event.metrics ?? {},
    }).catch(() => {});
  }
}

function checkBlob(event: PoolEvent): void {
  if (event.type !== "succeeded" || event.outputBlob === undefined) return;
  if (event.outputBlob.startsWith(outputBlobPrefix(event.id, event.token))) return;
  throw new EdgeplaneError("forbidden", `The output of ${event.id} names a blob that its claim did not make.`);
}

async function screen(snapshot: Snapshot, event: PoolEvent): Promise<PoolEvent> {
  const part = partOf(event);
  if (part === null) return event;
  try {
    const { output } = await runPhase(snapshot, "screenOutput", part);
    return withOutput(event, output);
  } catch (thrown) {
    if (!(thrown instanceof EdgeplaneError)) throw thrown;
    const { id, token, seq } = event;
    return { id, token, seq, type: "failed", kind: "model", error: { code: thrown.code, message: thrown.message } };
  }
}

function partOf(event: PoolEvent): OutputPart | null {
  if (event.type === "output") return { predictionId: event.id, part: "chunk", output: event.chunk };
  if (event.type !== "succeeded" || event.output === undefined) return null;
  return { predictionId: event.id, part: "whole", output: event.output };
}

function withOutput(event: PoolEvent, output: Json): PoolEvent {
  if (event.type === "output") return { ...event, chunk: output };
  return event.type === "succeeded" ? { ...event, output } : event;
}
