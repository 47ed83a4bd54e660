/**
 * Place and ETA of a waiting prediction, from what its lane told last. Pure; no call is made for it.
 *
 * The account's own entries are due one after the other from its `tag` on; the curve of the priority tells how many of
 * all accounts are due before a virtual time; and each other priority gets, until then, what its weight and its own tag
 * give it.
 */
import { coldStartOf, totalMs } from "../contract/cold-start.ts";
import type { ColdStart } from "../contract/cold-start.ts";
import { priorities } from "../contract/prediction.ts";
import type { Priority, QueuePlace } from "../contract/prediction.ts";
import { priorityWeights } from "./fair-queue.ts";
import { accountKey, versionKey } from "./types.ts";
import type { Curve, EntryRef, LaneView, ModelView, Ticket } from "./types.ts";

/** What a run is taken to take before one has ended, in milliseconds. */
const UNKNOWN_RUN_MS = 1000;
const none = { own: 0, shared: 0, priority: 0 };

/** `ticket` null: it is not in the queue, because it was handed over, or never had to wait. */
export function placeOf(ticket: Ticket | null, ref: Omit<EntryRef, "id" | "createdAt">, view: LaneView): QueuePlace {
  const model = view.models.find((one) => versionKey(one) === versionKey(ref));
  if (model === undefined) return { position: null, etaMs: null, ahead: null };
  // Its place is known, though no pool is there yet, once a machine is on its way.
  if (model.sessions === 0 && model.coldStart === undefined) return { position: null, etaMs: null, ahead: null };
  const ahead = ticket === null ? none : aheadOf(ticket, ref, model, view);
  const position = ahead.own + ahead.shared + ahead.priority;
  const etaMs = etaOf(position, model);
  return { position, etaMs, ahead, ...estimateOf(etaMs, model) };
}

/** Of one that a pool has and didn't begin: nothing is before it but what its instance still needs. */
export function handedOver(model: ModelView): QueuePlace {
  const cold = coldStartIn(model);
  const etaMs = model.readyInMs === 0 ? 0 : cold === null ? null : totalMs(cold);
  return { position: 0, etaMs, ahead: none, ...estimateOf(etaMs, model) };
}

/** Null: an instance is ready, or nobody knows when one will be. */
function coldStartIn({ coldStart, readyInMs }: ModelView): ColdStart | null {
  if (readyInMs === 0) return null;
  // Where only a set-up is left that nobody has seen, nobody can say.
  const isKnown = coldStart !== undefined && (coldStart.machineMs > 0 || coldStart.setupMs !== null);
  // The scaler's word counts down; a pool's own stands as it was told.
  if (isKnown) return coldStart;
  return readyInMs === null ? null : coldStartOf(0, readyInMs, 0);
}

function estimateOf(etaMs: number | null, model: ModelView): Pick<QueuePlace, "estimate"> {
  const cold = coldStartIn(model);
  if (cold === null || etaMs === null) return {};
  const turnMs = Math.max(0, etaMs - totalMs(cold));
  const mostMs = cold.mostMs === null ? null : cold.mostMs + 2 * turnMs;
  return { estimate: { ...cold, turnMs, leastMs: cold.leastMs + Math.round(turnMs / 2), mostMs } };
}

function aheadOf(ticket: Ticket, ref: Omit<EntryRef, "id" | "createdAt">, model: ModelView, view: LaneView) {
  const served = view.served[accountKey(ref)];
  if (served === undefined) return none;
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
  const { room, inFlight, startsPerSecond, readyInMs } = model;
  const runMs = model.runMs ?? UNKNOWN_RUN_MS;
  const cold = coldStartIn(model);
  if (model.sessions === 0 && cold !== null) return Math.round(totalMs(cold) + position * runMs);
  if (readyInMs === null && cold === null) return null;
  const coldMs = cold === null ? 0 : totalMs(cold);
  if (position < room) return Math.round(coldMs);
  const rank = position - room + 1;
  if (startsPerSecond !== null && startsPerSecond > 0) return Math.round(coldMs + (rank / startsPerSecond) * 1000);
  return Math.round(coldMs + (rank * runMs) / Math.max(1, inFlight));
}
