/**
 * Claims that no model of this pool holds go back to the edge: what never came, what can't run here, what the last life
 * of this pool left.
 */
import type { Logger } from "pino";
import type { ClaimRef } from "../src/contract/channel.ts";
import { UNKNOWN_SEQ } from "./delivery/claim-outbox.ts";
import type { Delivery } from "./delivery/delivery.ts";
import type { EndedClaims } from "./delivery/ended-claims.ts";
import type { Left } from "./delivery/journal.ts";
import type { EventReporter } from "./delivery/reporter.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import type { ReleaseReason } from "./runtime/prediction.ts";

export type HandBacksOptions = {
  /** Every claim that is held or whose events are not all at the edge yet. */
  claims: Map<string, ModelRunner | null>;
  endedClaims: EndedClaims;
  delivery: Delivery;
  reporter: EventReporter;
  /** Resolves when every request has ended that may bring grants and is under way now. */
  settled(): Promise<void>;
};

export class HandBacks {
  readonly #options: HandBacksOptions;

  constructor(options: HandBacksOptions) {
    this.#options = options;
  }

  /** `seq`: the number of the claim's next event; left out, nobody here knows it. */
  handBack(claim: ClaimRef, reason: ReleaseReason, seq = UNKNOWN_SEQ): void {
    const { claims, delivery, reporter } = this.#options;
    claims.set(claim.token, null);
    delivery.open(claim, seq);
    reporter.released(claim, reason);
  }

  /**
   * The edge asks whether these are held. What never came is refused from now on; it may still be in the answer to a
   * request that is under way.
   */
  async answerProbe(probed: readonly ClaimRef[]): Promise<void> {
    const { claims, endedClaims, settled } = this.#options;
    await settled();
    for (const claim of probed) {
      if (claims.has(claim.token)) continue;
      const reason = endedClaims.has(claim.token) ? "lost" : "unseen";
      endedClaims.refuse(claim.token);
      this.handBack(claim, reason);
    }
  }

  /**
   * Sends what an earlier life spooled, and hands back what it held; the log says how much of both. What only waited
   * there is no suspect of that life's end.
   */
  sendLeftovers(held: readonly Left[], log: Logger): void {
    const { claims, delivery } = this.#options;
    const { tokens, bad } = delivery.restore();
    const lost = held.filter(({ token }) => !tokens.has(token));
    for (const token of tokens) claims.set(token, null);
    for (const { id, token, waits } of lost) this.handBack({ id, token }, waits === true ? "no_room" : "lost");
    const waited = lost.filter(({ waits }) => waits === true).length;
    const left = { spooled: tokens.size, lost: lost.length - waited, waited };
    if (tokens.size + lost.length > 0) log.info(left, "handing over what the last life of this pool left");
    for (const name of bad) log.warn({ file: name }, "unreadable spool file put aside as .bad");
  }
}
