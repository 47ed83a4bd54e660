/**
 * What attempts took of which no event of their claim tells: the reports ride in requests with events until the edge
 * has taken them. An edge that knows of none has them told in vain, once.
 */
import { MAX_USAGE_REPORTS } from "../../src/contract/usage.ts";
import type { UsageReport, UsageVerdict } from "../../src/contract/usage.ts";

/** Kept while the edge is away: beyond that the oldest go, and the edge estimates. */
const MAX_KEPT = 20_000;

export class UsageReports {
  /** By claim and attempt. */
  readonly #waiting = new Map<string, UsageReport>();
  /** A request with these was refused: they, or the events beside them, are wrong. */
  #areSuspect = false;
  /** Some are to be told at once, and not only again. */
  #areDue = false;

  get areDue(): boolean {
    return this.#areDue && this.#waiting.size > 0;
  }

  get size(): number {
    return this.#waiting.size;
  }

  all(): UsageReport[] {
    return [...this.#waiting.values()];
  }

  add(report: UsageReport): void {
    this.#waiting.set(keyOf(report), report);
    this.#areDue = true;
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > MAX_KEPT && oldest !== undefined) this.#waiting.delete(oldest);
  }

  /** Those that were to be told later are due. */
  again(): void {
    this.#areDue = true;
  }

  /** What the next request carries; `isAlone`: it carries nothing else. */
  take(isAlone: boolean): UsageReport[] {
    return this.#areSuspect && !isAlone ? [] : this.all().slice(0, MAX_USAGE_REPORTS);
  }

  /** The edge answered the request that carried these; undefined: it takes none. Whether some rest to be told again. */
  answered(carried: readonly UsageReport[], verdicts: readonly UsageVerdict[] | undefined): boolean {
    const late = new Set((verdicts ?? []).filter(({ verdict }) => verdict === "later").map(keyOf));
    for (const report of carried) if (!late.has(keyOf(report))) this.#waiting.delete(keyOf(report));
    if (this.#waiting.size === 0) this.#areSuspect = false;
    const someRest = carried.some((report) => this.#waiting.has(keyOf(report)));
    if (someRest) this.#areDue = false;
    return someRest;
  }

  /** The edge refused a request that carried these as wrong; alone, it was they: they are dropped. */
  refused(carried: readonly UsageReport[], wereAlone: boolean): void {
    if (wereAlone) this.answered(carried, undefined);
    else this.#areSuspect ||= carried.length > 0;
  }
}

function keyOf({ token, attempt }: { token: string; attempt: number }): string {
  return `${token} ${attempt}`;
}
