/**
 * Place and ETA of a waiting prediction, from what its lane told last. Pure; no call is made for it.
 *
 * The account's own entries are due one after the other from its `tag` on; the curve of the priority tells how many of
 * all accounts are due before a virtual time; and each other priority gets, until then, what its weight and its own tag
 * give it.
 */
import { priorities } from "../contract/prediction.ts";
import type { Priority, QueuePlace } from "../contract/prediction.ts";
import { priorityWeights } from "./fair-queue.ts";
import { accountKey, versionKey } from "./types.ts";
import type { Curve, EntryRef, LaneView, ModelView, Ticket } from "./types.ts";

/** What a run is taken to take before one has ended, in milliseconds. */
const UNKNOWN_RUN_MS = 1000;

/** `ticket` null: it is not in the queue, because it was handed over, or never had to wait. */
export function placeOf(ticket: Ticket | null, ref: Omit<EntryRef, "id" | "createdAt">, view: LaneView): QueuePlace {
  const model = view.models.find((one) => versionKey(one) === versionKey(ref));
  if (model === undefined) return { position: null, etaMs: null, ahead: null };
  // Its place is known, though no pool is there yet, once a machine is on its way.
  if (model.sessions === 0 && (model.comesInMs ?? null) === null) return { position: null, etaMs: null, ahead: null };
  const ahead = ticket === null ? { own: 0, shared: 0, priority: 0 } : aheadOf(ticket, ref, model, view);
  const position = ahead.own + ahead.shared + ahead.priority;
  return { position, etaMs: etaOf(position, model), ahead };
}

function aheadOf(ticket: Ticket, ref: Omit<EntryRef, "id" | "createdAt">, model: ModelView, view: LaneView) {
  const served = view.served[accountKey(ref)];
  if (served === undefined) return { own: 0, shared: 0, priority: 0 };
  const own = Math.max(0, ticket.ownIndex - served.ownIndex);
  const due = served.tag + Math.max(0, ticket.upTo - served.upTo) * served.msPerCost;
  const before = countBefore(model.curves[ref.priority], due);
  const shared = Math.max(0, Math.round(before) - own);
  return { own, shared, priority: othersAhead(own + shared, ref.priority, model) };
}

/** How many of the other priorities go before one that has `rank` of its own priority before it. */
function othersAhead(rank: number, priority: Priority, model: ModelView): number {
  const runMs = model.runMs ?? UNKNOWN_RUN_MS;
  const due = model.tags[priority] + (rank * runMs) / priorityWeights[priority];
  let ahead = 0;
  for (const other of priorities) {
    if (other === priority || model.waiting[other] === 0) continue;
    const step = runMs / priorityWeights[other];
    const passed = Math.ceil((due - model.tags[other]) / step);
    ahead += Math.min(model.waiting[other], Math.max(0, passed));
  }
  return ahead;
}

/** Reads a curve, in straight lines between its points. */
export function countBefore(curve: Curve, tag: number): number {
  let [fromTag, fromCount] = curve[0] ?? [0, 0];
  if (tag <= fromTag) return fromCount;
  for (const [toTag, toCount] of curve) {
    if (tag <= toTag) return fromCount + ((toCount - fromCount) * (tag - fromTag)) / Math.max(1e-12, toTag - fromTag);
    fromTag = toTag;
    fromCount = toCount;
  }
  return fromCount;
}

/** In how many milliseconds one starts that has `position` before it; null: nobody knows. */
export function etaOf(position: number, model: ModelView): number | null {
  const { room, inFlight, startsPerSecond, readyInMs, comesInMs = null } = model;
  const runMs = model.runMs ?? UNKNOWN_RUN_MS;
  if (model.sessions === 0 && comesInMs !== null) return Math.round(comesInMs + position * runMs);
  if (readyInMs === null && inFlight === 0) return null;
  const coldMs = inFlight === 0 ? (readyInMs ?? 0) : 0;
  if (position < room) return Math.round(coldMs);
  const rank = position - room + 1;
  if (startsPerSecond !== null && startsPerSecond > 0) return Math.round(coldMs + (rank / startsPerSecond) * 1000);
  return Math.round(coldMs + (rank * runMs) / Math.max(1, inFlight));
}
