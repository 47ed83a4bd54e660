/**
 * What one place that machines come from can do: four calls, and what they may answer. Each file of `providers/` is
 * one. A provider decides nothing and remembers nothing that its place doesn't: the reconciler does.
 */
import type { Offer, ProviderMachine, refusalReasons } from "../src/contract/provider.ts";

/** A machine as the provider's list shows it, whoever made it. */
export type Seen = Omit<ProviderMachine, "machine" | "state"> & {
  /** `ended`: nothing runs on it any more, nor will; it may still cost. */
  state: ProviderMachine["state"] | "ended";
};

export type Order = {
  /** The machine's name at the provider: by it, it is found again. */
  name: string;
  machine: string;
  offer: string;
  hardware: string;
  /** Where its pool connects to, and what it signs in with. */
  edgeUrl: string;
  poolToken: string;
  lanes: readonly string[];
};

export type Balance = { nano: number; currency: string };

export type Provider = {
  readonly kind: string;
  /** What can be rented now. */
  offers(signal: AbortSignal): Promise<Offer[]>;
  /** Everything that is there, other people's machines included: the whole list, or it throws. */
  list(signal: AbortSignal): Promise<Seen[]>;
  /** Makes one machine; answers the provider's id. Throws `ProviderError`. */
  create(order: Order, signal: AbortSignal): Promise<string>;
  /** Returns a machine. That it isn't there any more is no error. */
  destroy(providerId: string, signal: AbortSignal): Promise<void>;
  /** What the account has left, where the provider says. */
  balance?(signal: AbortSignal): Promise<Balance | null>;
  /** The service ends: lets go of what must not outlive it. */
  close?(): Promise<void>;
};

/**
 * `rate_limited`: nothing was done, and nothing is to be asked for a while. `ambiguous` and `timeout`: of a create,
 * nobody knows whether it was done. All others: it was not.
 */
export type Reason = (typeof refusalReasons)[number] | "rate_limited";

export class ProviderError extends Error {
  override readonly name = "ProviderError";
  readonly reason: Reason;
  /** When it may be tried again, if the provider says. */
  readonly retryAfterMs: number | null;

  constructor(reason: Reason, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** An error of a call as the reconciler judges it: what nobody foresaw says nothing about what was done. */
export function asProviderError(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  return new ProviderError("ambiguous", error instanceof Error ? error.message : String(error));
}
