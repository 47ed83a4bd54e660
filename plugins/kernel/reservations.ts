/**
 * Reservations: what a hook of `admit` or `route` sets aside for a prediction, and the services that take it back.
 *
 * The shard keeps a reservation with the prediction's row and calls `end` of its service when the prediction has ended,
 * however it did; the Worker calls it when the prediction is refused after all, or is one that was accepted before. The
 * call is repeated until it succeeds, so that `end` must know by the reservation's id what it has ended already. A
 * reservation whose row never came (the Worker died in between) is given back by its own service: none outlives
 * `totalTimeoutMs` of its call by more than a minute; of money, by more than five, as its cost may be told so late.
 */
import type { Json, ModelRef, Status } from "../../src/contract/prediction.ts";
import type { Answer, Reservation } from "./phases.ts";

/** Who may be named in a reservation. */
export const reservationServiceNames = ["allowance", "responses"] as const;
export type ReservationServiceName = (typeof reservationServiceNames)[number];

/** A reservation and whose it is. */
export type HeldReservation = Reservation & { plugin: string };

/**
 * How it went: `release` gives all of it back, as nothing ran; `settle` takes what was used. Durations in seconds, as
 * metrics have them.
 */
export type ReservationEnd = HeldReservation & {
  how: "release" | "settle";
  predictionId: string;
  accountId: string;
  model: ModelRef;
  /** Null: it was not accepted. */
  status: Status | null;
  attempt: number;
  cost: number;
  /** What it costs its account in money: nano-units of its price's currency. */
  costNano: number;
  /** The cost is an estimate: when it is known better, the reservation ends once more, with all that it costs. */
  mayChange?: boolean;
  metrics: { [key: string]: Json };
  /** For `responses` alone: the screened output of one that succeeded, where it lies in the row. */
  answer?: Answer;
};

/** Some could not be given back: those with these ids are to be told again, and no others. */
export class NotEndedError extends Error {
  override readonly name = "NotEndedError";
  readonly ids: ReadonlySet<string>;

  constructor(ids: ReadonlySet<string>, options: { cause: unknown }) {
    super(`${ids.size} were not given back`, options);
    this.ids = ids;
  }
}

export type ReservationService = {
  /**
   * Gives these back; one that is unknown, or was given back before, changes nothing. Throws to be called again: with
   * those that a `NotEndedError` names, or else with all.
   */
  end(ends: readonly ReservationEnd[]): Promise<void>;
};
