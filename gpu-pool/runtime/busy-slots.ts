/** The slots of a process that run something: how many runs each was given, and when it said something last. */
export class BusySlots {
  readonly #slots = new Map<number, { runs: number; heardAtMs: number }>();

  get size(): number {
    return this.#slots.size;
  }

  /** How many runs a slot has that are not over. */
  runsOf(slot: number): number {
    return this.#slots.get(slot)?.runs ?? 0;
  }

  /** Whether one that is busy has so many runs or fewer. */
  hasUpTo(runs: number): boolean {
    return [...this.#slots.values()].some((slot) => slot.runs <= runs);
  }

  given(slot: number, nowMs: number): void {
    const busy = this.#slots.get(slot);
    if (busy === undefined) this.#slots.set(slot, { runs: 1, heardAtMs: nowMs });
    else busy.runs += 1;
  }

  heard(slot: number, nowMs: number): void {
    const busy = this.#slots.get(slot);
    if (busy !== undefined) busy.heardAtMs = nowMs;
  }

  /** One of its runs is over. */
  over(slot: number): void {
    const busy = this.#slots.get(slot);
    if (busy === undefined) return;
    busy.runs -= 1;
    if (busy.runs === 0) this.#slots.delete(slot);
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
