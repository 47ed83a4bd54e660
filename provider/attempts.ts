/**
 * What became of the creates, one attempt a machine id. Pure: the caller tells the time, in milliseconds of a clock
 * that never goes back.
 *
 *     (none) → asking → made → (listed) → lost
 *                 ├──→ unclear → (a list shows it) made, or (settled without it) none
 *                 └──→ refused → (its time is over) none
 *
 * An id stands for one machine, ever: what was there and is gone is not made again under the same id.
 */
import type { Refused } from "../src/contract/provider.ts";
import type { ProviderError, Seen } from "./provider.ts";

export type Attempt =
  | { state: "asking"; offer: string }
  | { state: "made"; offer: string | null; providerId: string; createdAtMs: number; atMs: number; isListed: boolean }
  | { state: "unclear"; offer: string; sinceMs: number; refusal: Omit<Refused, "machine"> }
  | { state: "refused"; offer: string; untilMs: number; refusal: Omit<Refused, "machine"> }
  | { state: "lost" };

export type AttemptTimes = {
  /** For how long after an answer that says nothing the list is read before another try. */
  settleMs: number;
  /** How long a refusal holds when the provider doesn't say. */
  refusedMs: number;
};

const MAX_MESSAGE_CHARS = 500;
const GONE = "the machine was there, and is gone";

export class Attempts {
  readonly #times: AttemptTimes;
  readonly #attempts = new Map<string, Attempt>();

  constructor(times: AttemptTimes) {
    this.#times = times;
  }

  of(machine: string): Attempt | null {
    return this.#attempts.get(machine) ?? null;
  }

  get asking(): number {
    return [...this.#attempts.values()].filter(({ state }) => state === "asking").length;
  }

  /** Whether anything is under way that only a list can tell about. */
  get isUnsettled(): boolean {
    return [...this.#attempts.values()].some(
      (attempt) => attempt.state === "unclear" || (attempt.state === "made" && !attempt.isListed),
    );
  }

  /** Whether nothing stands against a create of `machine` from `offer` now. */
  allows(machine: string, offer: string, nowMs: number): boolean {
    const attempt = this.of(machine);
    if (attempt === null) return true;
    return attempt.state === "refused" && (attempt.offer !== offer || nowMs >= attempt.untilMs);
  }

  ask(machine: string, offer: string): void {
    this.#attempts.set(machine, { state: "asking", offer });
  }

  made(machine: string, providerId: string, createdAtMs: number, nowMs: number): void {
    const before = this.of(machine);
    const offer = before?.state === "asking" ? before.offer : null;
    this.#attempts.set(machine, { state: "made", offer, providerId, createdAtMs, atMs: nowMs, isListed: false });
  }

  failed(machine: string, error: ProviderError, nowMs: number): void {
    const before = this.of(machine);
    if (before?.state !== "asking") return;
    const { offer } = before;
    const { reason } = error;
    const message = error.message.slice(0, MAX_MESSAGE_CHARS);
    if (reason === "rate_limited") this.#attempts.delete(machine);
    else if (reason === "ambiguous" || reason === "timeout") {
      const refusal = { reason, message, retryAfterMs: this.#times.settleMs };
      this.#attempts.set(machine, { state: "unclear", offer, sinceMs: nowMs, refusal });
    } else {
      const retryAfterMs = Math.ceil(error.retryAfterMs ?? this.#times.refusedMs);
      const refusal = { reason, message, retryAfterMs };
      this.#attempts.set(machine, { state: "refused", offer, untilMs: nowMs + retryAfterMs, refusal });
    }
  }

  /** Takes in a whole list, asked for at `startedMs`: the machines of it that are ours, by id. */
  listed(startedMs: number, seen: ReadonlyMap<string, Seen>): void {
    for (const [machine, { providerId, offer, createdAtMs }] of seen) {
      const before = this.of(machine);
      // What a create brings isn't known before its answer, though the list may be quicker.
      if (before?.state === "asking") continue;
      const from = before !== null && "offer" in before ? before.offer : null;
      this.#attempts.set(machine, {
        state: "made",
        offer: offer ?? from,
        providerId,
        createdAtMs,
        atMs: startedMs,
        isListed: true,
      });
    }
    for (const [machine, attempt] of this.#attempts) {
      if (seen.has(machine)) continue;
      if (attempt.state === "unclear" && startedMs >= attempt.sinceMs + this.#times.settleMs)
        this.#attempts.delete(machine);
      if (attempt.state === "made" && (attempt.isListed || startedMs >= attempt.atMs + this.#times.settleMs))
        this.#attempts.set(machine, { state: "lost" });
    }
  }

  /** Forgets all that is settled and that nobody asks for any more. */
  keepOnly(machines: ReadonlySet<string>): void {
    for (const [machine, attempt] of this.#attempts) {
      if (machines.has(machine)) continue;
      if (attempt.state === "refused" || attempt.state === "lost") this.#attempts.delete(machine);
    }
  }

  /** Machines that the provider has acknowledged and that no list has shown yet. */
  unlisted(): { machine: string; providerId: string; offer: string | null; createdAtMs: number }[] {
    return [...this.#attempts].flatMap(([machine, attempt]) =>
      attempt.state === "made" && !attempt.isListed ? [{ machine, ...attempt }] : [],
    );
  }

  refusals(): Refused[] {
    return [...this.#attempts].flatMap(([machine, attempt]): Refused[] => {
      if (attempt.state === "lost") return [{ machine, reason: "refused", message: GONE }];
      return attempt.state === "unclear" || attempt.state === "refused" ? [{ machine, ...attempt.refusal }] : [];
    });
  }

  /** The next moment at which a refusal's time is over; Infinity: none. */
  nextMs(nowMs: number): number {
    const times = [...this.#attempts.values()].map((attempt) =>
      attempt.state === "refused" ? attempt.untilMs : Infinity,
    );
    return Math.min(Infinity, ...times.filter((time) => time > nowMs));
  }
}
