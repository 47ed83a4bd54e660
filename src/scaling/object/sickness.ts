/**
 * Versions whose set-up fails on machine after machine: after two, none is rented for them for a while, and then one at
 * a time. What runs somewhere is well.
 */
import * as z from "zod";

const ENOUGH = 2;
const FIRST_MS = 1_800_000;
const LONGEST_MS = 86_400_000;
const MAX_VERSIONS = 500;
const MAX_REASON_CHARS = 1000;

export const SickSchema = z.record(
  z.string(),
  z.object({ hosts: z.array(z.string()), reason: z.string(), times: z.number(), untilMs: z.number() }),
);
export type Sick = z.output<typeof SickSchema>;

export class Sickness {
  readonly #known: Map<string, Sick[string]>;
  readonly #save: (sick: Sick) => void;

  constructor(stored: Sick, save: (sick: Sick) => void) {
    this.#known = new Map(Object.entries(stored));
    this.#save = save;
  }

  /** The set-up failed on this host. Each counts once until the time of grace that it led to is over. */
  failed(key: string, host: string, reason: string, nowMs: number): void {
    const known = this.#known.get(key) ?? { hosts: [], reason: "", times: 0, untilMs: 0 };
    if (known.hosts.includes(host) || nowMs < known.untilMs) return;
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
    this.#save(Object.fromEntries(this.#known));
  }

  /** It serves somewhere. */
  well(key: string): void {
    if (this.#known.delete(key)) this.#save(Object.fromEntries(this.#known));
  }

  /** Why nothing is rented for it; null: it may be. */
  reason(key: string, nowMs: number): string | null {
    const known = this.#known.get(key);
    if (known === undefined || nowMs >= known.untilMs) return null;
    const at = new Date(known.untilMs).toISOString();
    const hosts = `${known.hosts.length} ${known.hosts.length === 1 ? "machine" : "machines"}`;
    return `its set-up failed on ${hosts} that ran it, so none is rented for it until ${at}: ${known.reason}`;
  }
}
