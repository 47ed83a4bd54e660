/**
 * The slots of a process that run something: the runs that each was given, and when it said something last. A run that
 * is called has left the model: its outputs are being made, and it keeps no other from running.
 */
import type { SlotMessage } from "./child-messages.ts";

type Busy = { given: Set<number>; called: Set<number>; heardAtMs: number };

export class BusySlots {
  readonly #slots = new Map<number, Busy>();

  /** How many have a run that is not over. */
  get size(): number {
    return this.#slots.size;
  }

  /** How many can't begin another. */
  get taken(): number {
    return [...this.#slots.values()].filter(({ given }) => given.size > 0).length;
  }

  /** How many runs a slot has that are not called. */
  runsOf(slot: number): number {
    return this.#slots.get(slot)?.given.size ?? 0;
  }

  /** Whether one that is taken has so many of these runs or fewer. */
  hasUpTo(runs: number): boolean {
    return [...this.#slots.values()].some(({ given }) => given.size > 0 && given.size <= runs);
  }

  given(slot: number, run: number, nowMs: number): void {
    const busy = this.#slots.get(slot);
    if (busy === undefined) this.#slots.set(slot, { given: new Set([run]), called: new Set(), heardAtMs: nowMs });
    else busy.given.add(run);
  }

  /** A slot said this: a run of it may be called, or over. */
  heard(slot: number, message: SlotMessage, nowMs: number): void {
    const busy = this.#slots.get(slot);
    if (busy === undefined) return;
    busy.heardAtMs = nowMs;
    if (message.type === "called" && busy.given.delete(message.batch)) busy.called.add(message.batch);
    if (message.type !== "idle") return;
    busy.given.delete(message.batch);
    busy.called.delete(message.batch);
    if (busy.given.size + busy.called.size === 0) this.#slots.delete(slot);
  }

  /** When the one that has been silent for longest spoke; Infinity when none is busy. */
  get quietSinceMs(): number {
    return Math.min(...Array.from(this.#slots.values(), ({ heardAtMs }) => heardAtMs));
  }

  /** So much time didn't count. */
  slept(ms: number): void {
    for (const busy of this.#slots.values()) busy.heardAtMs += ms;
  }
}
