/** What a prediction that came now would find: read from what the lane tells of those that wait. Pure. */
import type { LaneOutlook } from "../../plugins/kernel/services.ts";
import type { LaneCore } from "./core.ts";
import { placeOf } from "./places.ts";
import { accountKey, versionKey } from "./types.ts";
import type { EntryRef, Served } from "./types.ts";

export type OutlookRef = Omit<EntryRef, "id" | "createdAt">;

type Lane = Pick<LaneCore, "backlog" | "versions" | "view" | "waitingOf">;

export function outlookIn(lane: Lane, ref: OutlookRef): LaneOutlook {
  const view = lane.view([ref]);
  const flow = lane.backlog.find(ref);
  const node = lane.versions.get(versionKey(ref))?.node;
  const ownWaiting = lane.waitingOf(ref.account);
  const [model] = view.models;
  const told = view.served[accountKey(ref)];
  const isWaiting = flow !== undefined && flow.rows > 0;
  // Who has nothing waiting begins at the virtual time, or at what it owes.
  const tag = Math.max(flow?.tag ?? 0, node?.inner[ref.priority].virtual ?? 0);
  const anew: Served = { ownIndex: 0, upTo: 0, tag, msPerCost: told?.msPerCost ?? 0 };
  const served = isWaiting && told !== undefined ? told : anew;
  const ticket = isWaiting ? { ownIndex: flow.nextIndex, upTo: flow.nextUpTo } : { ownIndex: 0, upTo: 0 };
  const { position, etaMs } = placeOf(ticket, ref, { models: view.models, served: { [accountKey(ref)]: served } });
  const { high = 0, normal = 0, low = 0 } = model?.waiting ?? {};
  const { startsPerSecond = null, runMs = null } = model ?? {};
  return { waiting: high + normal + low, ownWaiting, position, etaMs, startsPerSecond, runMs };
}
