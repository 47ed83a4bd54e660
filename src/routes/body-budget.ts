/**
 * What this isolate holds of request bodies, and of answers that are not read yet: an isolate has 128 MB, and 16 MiB of
 * JSON can take four times as much when it is parsed. Each account, pool token and user of the log has its share; who
 * has used it up is refused, and nobody else is.
 */
import { createFairShare } from "../../plugins/kernel/fair-share.ts";
import type { FairShare } from "../../plugins/kernel/fair-share.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import type { Env } from "../env.ts";

/**
 * When the runtime ends a call whose client has left, none of our code runs any more: what such a call held is taken
 * back after it was not touched for this time. No call that lives is silent for so long: none is held for more than a
 * minute, and each piece of a body touches it.
 */
const LOST_AFTER_MS = 150_000;

type BudgetVars = Pick<Env, "BODY_BYTES" | "ACCOUNT_BODY_BYTES">;

/** What one call holds. */
export type BodyHold = {
  /** It holds `bytes` in all from now on. Throws `too_many_bytes` or `unavailable`, and holds what it held before. */
  resize(bytes: number): void;
  /** The same where it is too late to refuse: what comes next is refused instead. */
  force(bytes: number): void;
  /** Its body goes on arriving. */
  touch(): void;
  release(): void;
};

type Held = { holder: string; bytes: number; touchedAt: number };

export function createBodyBudget(vars: BudgetVars, now: () => number) {
  const [total, perHolder] = [numericVar(vars, "BODY_BYTES"), numericVar(vars, "ACCOUNT_BODY_BYTES")];
  const shares = createFairShare({ total, perHolder });
  /** The one that was touched longest ago comes first. */
  const holds = new Set<Held>();

  function release(held: Held): void {
    if (!holds.delete(held)) return;
    shares.change(held.holder, -held.bytes);
    held.bytes = 0;
  }

  function touch(held: Held): void {
    held.touchedAt = now();
    if (holds.delete(held)) holds.add(held);
  }

  function dropLost(): void {
    for (const held of holds) {
      if (held.touchedAt > now() - LOST_AFTER_MS) return;
      release(held);
    }
  }

  function check(held: Held, more: number): void {
    if (more <= 0 || refusalOf(shares, held, more) === null) return;
    dropLost();
    const bound = refusalOf(shares, held, more);
    if (bound !== null) throw refused(bound, perHolder);
  }

  function force(held: Held, bytes: number): void {
    holds.add(held);
    shares.change(held.holder, bytes - held.bytes);
    held.bytes = bytes;
  }

  return {
    /** What a call of `holder` holds: nothing yet. Whoever opens it releases it. */
    open(holder: string): BodyHold {
      const held = { holder, bytes: 0, touchedAt: now() };
      return {
        resize(bytes) {
          check(held, bytes - held.bytes);
          force(held, bytes);
        },
        force: (bytes) => force(held, bytes),
        touch: () => touch(held),
        release: () => release(held),
      };
    },
    /** How many bytes `holder` has here. */
    heldBy: shares.of,
  };
}

/** A single body of the holder may take more parsed than its share: each body has a limit of its own. */
function refusalOf(shares: FairShare, { holder, bytes }: Held, more: number) {
  const bound = shares.refusal(holder, more);
  return bound === "own" && bytes > 0 && shares.of(holder) === bytes ? null : bound;
}

function refused(bound: "own" | "all", perHolder: number): EdgeplaneError {
  if (bound === "all") {
    const detail =
      "The gateway holds as many bytes of bodies and of unread answers here as it may, and yours have their share of them.";
    return new EdgeplaneError("unavailable", detail);
  }
  return new EdgeplaneError(
    "too_many_bytes",
    `The bodies of your requests under way and answers that you haven't read take as much memory here as they may (ACCOUNT_BODY_BYTES: ${perHolder} bytes).`,
  );
}

let budget: ReturnType<typeof createBodyBudget> | null = null;

/** What a call of `holder` holds of this isolate's budget. */
export function openHold(vars: BudgetVars, holder: string): BodyHold {
  budget ??= createBodyBudget(vars, () => Date.now());
  return budget.open(holder);
}
