/** What a lane tells of a version, so that shards compute places from it. */
import { later } from "../contract/cold-start.ts";
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";
import type { CreditBook } from "./credit.ts";
import { curveOf } from "./curve.ts";
import { dueTag } from "./backlog.ts";
import type { Backlog, Flow } from "./backlog.ts";
import { accountKey } from "./types.ts";
import type { Curve, EntryRef, LaneView, ModelView } from "./types.ts";
import { meanPerCost, turnsPerSecond } from "./version.ts";
import type { Version } from "./version.ts";
import type { Versions } from "./versions.ts";

/** Sessions that are looked at for room and readiness. */
const MAX_SCANNED = 256;
/**
 * Curves are kept for as many milliseconds as there are this many flows, and a second at most: making them costs that
 * much.
 */
const FLOWS_A_MS = 20;
const MAX_KEPT_MS = 1000;

export function laneView(
  asked: readonly Omit<EntryRef, "id" | "createdAt">[],
  versions: Versions,
  backlog: Pick<Backlog<{ chargedMs: number }>, "find" | "servedOf">,
  credit: CreditBook,
  now: number,
): LaneView {
  const view: LaneView = { models: [], served: {} };
  const seen = new Set<string>();
  for (const ref of asked) {
    const version = versions.of(ref);
    if (!seen.has(version.key)) view.models.push(viewOf(version, credit, now));
    seen.add(version.key);
    const flow = backlog.find(ref);
    if (flow !== undefined) view.served[accountKey(ref)] = backlog.servedOf(flow, meanPerCost(version, flow));
  }
  return view;
}

function viewOf(version: Version, credit: CreditBook, now: number): ModelView {
  const { key, model, version: digest, waiting, node, inFlight, meanMs, coldStart } = version;
  const serving = credit.serving(key);
  let room = 0;
  let readyInMs: number | null = null;
  for (const session of serving.slice(0, MAX_SCANNED)) {
    room += credit.startNow(session, key);
    const told = session.credits.get(key);
    if (told === undefined || told.problem !== null || told.readyInMs === null) continue;
    readyInMs = Math.min(readyInMs ?? Infinity, told.readyInMs);
  }
  return {
    model,
    version: digest,
    sessions: serving.length,
    waiting: { ...waiting },
    curves: curvesOf(version, now),
    tags: { ...node.tags },
    startsPerSecond: turnsPerSecond(version, now),
    inFlight,
    room,
    readyInMs,
    runMs: meanMs,
    ...(readyInMs === 0 || coldStart === null ? {} : { coldStart: later(coldStart.told, now - coldStart.at) }),
  };
}

function curvesOf(version: Version, now: number): Record<Priority, Curve> {
  const known = version.curves;
  if (known !== null && now - known.at < known.forMs) return known.curves;
  const curves: Record<Priority, Curve> = { high: [], normal: [], low: [] };
  let flows = 0;
  for (const priority of priorities) {
    // Heaps hold flows that the backlog made.
    const waiting = version.node.inner[priority].heap.items() as readonly Flow[];
    flows += waiting.length;
    curves[priority] = curveOf(
      waiting.map((flow) => {
        const msPerCost = meanPerCost(version, flow);
        return { tag: dueTag(flow, msPerCost), backlog: flow.backlog, step: msPerCost / flow.weight };
      }),
    );
  }
  version.curves = { at: now, forMs: Math.min(MAX_KEPT_MS, Math.floor(flows / FLOWS_A_MS)), curves };
  return curves;
}
