/** The most machines that were needed at any time of the last so many seconds. */
export class KeepAlive {
  readonly #keepS: number;
  /** Falling counts, each with the time at which so many were last needed. */
  readonly #needs: { atS: number; machines: number }[] = [];

  constructor(keepS: number) {
    this.#keepS = keepS;
  }

  needed(atS: number, machines: number): number {
    const needs = this.#needs;
    let last = needs.at(-1);
    for (; last !== undefined && last.machines < machines; last = needs.at(-1)) needs.pop();
    if (last?.machines === machines) last.atS = atS;
    else needs.push({ atS, machines });
    while ((needs[0]?.atS ?? Infinity) < atS - this.#keepS) needs.shift();
    return needs[0]?.machines ?? 0;
  }

  /** Until when the answer stays what it was, if nothing more is needed meanwhile. */
  sameUntilS(): number {
    const [first, second] = this.#needs;
    return first === undefined || second === undefined ? Infinity : first.atS + this.#keepS;
  }

  /** The same memory, kept for another time. */
  withKeepS(keepS: number): KeepAlive {
    const other = new KeepAlive(keepS);
    for (const need of this.#needs) other.#needs.push({ ...need });
    return other;
  }
}
