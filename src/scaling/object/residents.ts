/** Which models run where, by what lanes tell of sessions. */
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { ModelNeed } from "../placement.ts";
import { inSystem } from "./appetite.ts";
import type { Appetite } from "./appetite.ts";
import type { Appetites } from "./appetites.ts";
import type { Lanes } from "./lanes.ts";
import { settingsOf } from "./class-state.ts";
import { isWorking } from "./machine.ts";
import type { Machine } from "./machine.ts";
import type { MachineBook } from "./machine-book.ts";
import type { Sickness } from "./sickness.ts";
import type { Spills } from "./spills.ts";
import type { Resolved, Wish } from "./wishes.ts";

type Here = { lanes: Lanes; book: MachineBook; appetites: Appetites };
type Problems = { book: MachineBook; sickness: Sickness; settings: ScalingSettings; resolved(key: string): Resolved };
type Moving = Here & { sickness: Sickness; spills: Spills; resolved(key: string): Resolved };

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

/**
 * Versions that a machine serves, those whose set-up failed there, how many run there, and how long they still take.
 */
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

/**
 * A set-up of the version failed there. What pools say that nobody rented, or whose machine is gone, tells nothing of
 * machines that could be rented: one that starts again and again would be many. Those of an external class count, each
 * by its session.
 */
export function noteProblem(
  here: Problems,
  key: string,
  { session, problem }: { session: string; problem: string },
  nowMs: number,
): void {
  const { hardware } = here.resolved(key);
  const isExternal = hardware !== null && settingsOf(here.settings, hardware).external;
  const host = here.book.bySession(session)?.id ?? (isExternal ? session : null);
  if (host !== null) here.sickness.failed(key, host, problem, nowMs);
}

/** Machines of other classes that serve a version, and those that boot for it because its own can't give them. */
export function elsewhere({ lanes, book, spills }: Here & { spills: Spills }, key: string, own: string) {
  const isOther = (machine: Machine | undefined): boolean =>
    machine !== undefined && isWorking(machine) && machine.hardware !== own;
  let [ready, booting] = [0, 0];
  for (const { session, readyInMs } of lanes.sessionsOf(key))
    if (readyInMs === 0 && isOther(book.bySession(session))) ready += 1;
  for (const hardware of new Set(spills.classesOf(key))) {
    const there = book.all().filter((one) => one.hardware === hardware && isWorking(one) && one.readyAtMs === null);
    booting += Math.min(spills.at(key, hardware).copies, there.length);
  }
  return { ready, booting };
}

/**
 * Machines of each class other than its own on which a version stays that has moved to another class: as many as still
 * serve it, until its own class has as many as it wants.
 */
export function heldElsewhere({ lanes, book, appetites }: Here, key: string, own: string): Map<string, number> {
  const held = new Map<string, number>();
  const appetite = appetites.get(key);
  if (appetite === undefined || (appetite.wanted === 0 && inSystem(appetite.demand) === 0)) return held;
  let left = Math.max(1, appetite.wanted);
  for (const { session, readyInMs } of lanes.sessionsOf(key)) {
    const machine = readyInMs === 0 ? book.bySession(session) : undefined;
    if (machine === undefined || !isWorking(machine)) continue;
    if (machine.hardware === own) left -= 1;
    else held.set(machine.hardware, (held.get(machine.hardware) ?? 0) + 1);
  }
  for (const [hardware, count] of held) {
    held.set(hardware, Math.max(0, Math.min(count, left)));
    left -= count;
  }
  return held;
}

/**
 * What versions of other classes need of this one: what is left of those that moved to another, which is kept, and what
 * the others can't give.
 */
export function heldNeeds(here: Moving, hardware: string, wishes: Iterable<Wish>, nowMs: number): ModelNeed[] {
  return [...wishes].flatMap(({ key, memoryBytes }) => {
    const { hardware: its, max } = here.resolved(key);
    if (its === null || its === hardware) return [];
    const heldBy = heldElsewhere(here, key, its);
    const held = heldBy.get(hardware) ?? 0;
    const isSick = here.sickness.reason(key, nowMs) !== null;
    const { machines, copies } = isSick ? { machines: 0, copies: 0 } : here.spills.at(key, hardware);
    // Its own class leaves out what is held, as far as it may have no more in all.
    const heldInAll = [...heldBy.values()].reduce((sum, count) => sum + count, 0);
    const leftOut = Math.max(0, Math.min(here.appetites.get(key)?.wanted ?? 0, max) - (max - heldInAll));
    const more = copies === 0 ? 0 : Math.min(held, leftOut);
    const count = Math.max(held, copies + more);
    if (count === 0) return [];
    const nothing = { keptMachines: 0, patientMachines: 0, swapS: 0, targetS: 0 };
    return [{ model: key, ...nothing, machines: machines + more, memoryBytes, min: count, max: count }];
  });
}

/** Sessions that have a version set up: on machines of the class, or anywhere; of an external class, on any pool. */
export function servingIn({ lanes, book }: Here, key: string, hardware: string, isExternal: boolean) {
  const [here, all] = [new Set<string>(), new Set<string>()];
  for (const { session, readyInMs, problem } of lanes.sessionsOf(key)) {
    if (readyInMs !== 0 || problem !== null) continue;
    const machine = book.bySession(session);
    if (machine === undefined ? isExternal : machine.hardware === hardware && isWorking(machine)) here.add(session);
    all.add(session);
  }
  return { here: here.size, all: all.size };
}

/** Seconds since a class was last of use to its own versions; 0 while it gives what other classes can't. */
export function idleSOf(own: readonly { appetite: Appetite }[], held: readonly ModelNeed[], nowS: number): number {
  if (held.some(({ machines }) => machines > 0)) return 0;
  return Math.min(Infinity, ...own.map(({ appetite }) => appetite.idleS(nowS)));
}
