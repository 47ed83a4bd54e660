/** Which models run where, by what lanes tell of sessions. */
import type { Appetites } from "./appetites.ts";
import type { Lanes } from "./lanes.ts";
import type { Machine } from "./machine.ts";
import type { MachineBook } from "./machine-book.ts";

type Here = { lanes: Lanes; book: MachineBook; appetites: Appetites };

/** Pools that nobody rented, as far as they serve these versions: how many of each, and their sessions. */
export function standingPools({ lanes, book }: Here, keys: readonly string[]) {
  const byKey = new Map<string, number>();
  const all = new Set<string>();
  const wanted = new Set(keys);
  for (const { key, session } of lanes.sessions()) {
    if (!wanted.has(key) || session.problem !== null || book.bySession(session.session) !== undefined) continue;
    byKey.set(key, (byKey.get(key) ?? 0) + 1);
    all.add(session.session);
  }
  return { byKey, all: [...all] };
}

/** Versions that a machine serves, those whose set-up failed there, how many run there, and how long they still take. */
export function onMachine({ lanes, appetites }: Here, { session }: Machine) {
  const [models, unfit]: [string[], string[]] = [[], []];
  let [running, runningS] = [0, 0];
  for (const { key, session: one } of lanes.sessions()) {
    if (session === null || one.session !== session) continue;
    if (one.readyInMs === 0) models.push(key);
    if (one.problem !== null) unfit.push(key);
    running += one.inFlight;
    runningS += one.inFlight * (appetites.get(key)?.workS ?? 1);
  }
  return { models, unfit, running, runningS };
}
