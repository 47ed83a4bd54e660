/**
 * Which versions can be set up. Until one machine has set a version up, two at most are rented for it. If its set-up
 * fails on both, none is rented for a while, and then one at a time. What was set up somewhere is well.
 */
import * as z from "zod";

const ENOUGH = 2;
const FIRST_MS = 1_800_000;
const LONGEST_MS = 86_400_000;
const MAX_VERSIONS = 500;
/** Of more than are stored, so many proven ones are known: where more serve than are stored, no report writes. */
const MAX_PROVEN = 5000;
const MAX_REASON_CHARS = 1000;

export const SickSchema = z.record(
  z.string(),
  z.object({ hosts: z.array(z.string()), reason: z.string(), times: z.number(), untilMs: z.number() }),
);
export type Sick = z.output<typeof SickSchema>;

/** Versions that were set up somewhere and were not found sick since, by `model version`; the latest last. */
export const ProvenSchema = z.array(z.string());

type Stored = { sick: Sick; proven: readonly string[] };
type Save = { sick(sick: Sick): void; proven(keys: string[]): void };

export class Sickness {
  readonly #known: Map<string, Sick[string]>;
  readonly #proven: Set<string>;
  readonly #save: Save;

  constructor({ sick, proven }: Stored, save: Save) {
    this.#known = new Map(Object.entries(sick));
    this.#proven = new Set(proven);
    this.#save = save;
  }

  /** The set-up failed on this host. Each counts once until the time of grace that it led to is over. */
  failed(key: string, host: string, reason: string, nowMs: number): void {
    const known = this.#known.get(key) ?? { hosts: [], reason: "", times: 0, untilMs: 0 };
    if (known.hosts.includes(host) || isResting(known, nowMs)) return;
    const hosts = [...known.hosts, host];
    const isOver = hosts.length >= (known.times === 0 ? ENOUGH : 1);
    const untilMs = isOver ? nowMs + Math.min(LONGEST_MS, FIRST_MS * 2 ** known.times) : known.untilMs;
    this.#known.delete(key);
    this.#known.set(key, {
      // Those that failed before may still say so.
      hosts: hosts.slice(-20),
      reason: reason.slice(-MAX_REASON_CHARS),
      times: known.times + Number(isOver),
      untilMs,
    });
    for (const oldest of this.#known.keys()) if (this.#known.size > MAX_VERSIONS) this.#known.delete(oldest);
    this.#save.sick(Object.fromEntries(this.#known));
    if (isOver && this.#proven.delete(key)) this.#saveProven();
  }

  /** It serves somewhere. */
  well(key: string): void {
    if (this.#known.delete(key)) this.#save.sick(Object.fromEntries(this.#known));
    if (this.#proven.has(key)) return;
    this.#proven.add(key);
    for (const oldest of this.#proven) if (this.#proven.size > MAX_PROVEN) this.#proven.delete(oldest);
    this.#saveProven();
  }

  /**
   * Machines besides those that serve it that may be rented for it, or set it up, at a time; Infinity: as many as are
   * wanted. `atLeast`: so many are rented before anything is known of it.
   */
  mayTry(key: string, nowMs: number, atLeast: number): number {
    if (this.reason(key, nowMs) !== null) return 0;
    const known = this.#known.get(key);
    if (known !== undefined && known.times > 0) return 1;
    return this.#proven.has(key) ? Infinity : Math.max(ENOUGH, atLeast) - (known?.hosts.length ?? 0);
  }

  /** Why fewer than `wanted` machines are rented for it while nothing serves it, in sentences; null: as many may be. */
  caution(key: string, nowMs: number, atLeast: number, wanted: number): string | null {
    const tries = this.mayTry(key, nowMs, atLeast);
    if (tries === 0 || tries >= wanted) return null;
    const known = this.#known.get(key);
    const are = tries === 1 ? "is" : "are";
    if (known === undefined)
      return `No machine has set it up yet: until one has, ${tries} at most ${are} rented for it.`;
    const bound = `until one has set it up, ${tries} more at most ${are} rented for it`;
    return `Its set-up failed on ${hostsOf(known)}: ${bound}. It said: ${known.reason}`;
  }

  /** Why nothing is rented for it; null: it may be. */
  reason(key: string, nowMs: number): string | null {
    const known = this.#known.get(key);
    if (known === undefined || !isResting(known, nowMs)) return null;
    const at = new Date(known.untilMs).toISOString();
    return `its set-up failed on ${hostsOf(known)} that ran it, so none is rented for it until ${at}: ${known.reason}`;
  }

  #saveProven(): void {
    this.#save.proven([...this.#proven].slice(-MAX_VERSIONS));
  }
}

/** Whether it is in its time of grace. What would last longer than the longest was set before the clock went back. */
function isResting({ untilMs }: Sick[string], nowMs: number): boolean {
  return nowMs < untilMs && untilMs - nowMs <= LONGEST_MS;
}

function hostsOf({ hosts }: Sick[string]): string {
  return `${hosts.length} ${hosts.length === 1 ? "machine" : "machines"}`;
}
