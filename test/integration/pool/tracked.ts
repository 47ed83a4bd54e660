/** A prediction of the pool's tests, and what it is submitted with. */
import type { PoolEvent } from "../../../src/contract/event.ts";
import { isFinished } from "../../../src/shard/row.ts";
import type { Row } from "../../../src/shard/row.ts";
import type { Submission as Accepted } from "../../../src/shard/types.ts";

/** What was lost so often runs by itself. */
export const LOSSES_OF_A_SUSPECT = 2;

export type Submission = {
  lane: string;
  stream: boolean;
  /** It was lost `LOSSES_OF_A_SUSPECT` times before, by other pools. */
  alone: boolean;
  startInMs: number;
  endInMs: number;
  /** Path of the blob that is its input. */
  inputBlob?: string;
  /** How long one run of it may take, by its deployment. */
  runLimitMs?: number;
  /** What it is billed by, and what its budgets reserved. */
  money?: Pick<Accepted, "pricing" | "reservations">;
};

/** One prediction of a test, as its row has it; `events` are those that were stored, of all its claims. */
export class Tracked {
  readonly id: string;
  readonly lane: string;
  readonly inputBlob: string | undefined;
  readonly events: PoolEvent[] = [];
  readonly #row: () => Row;
  readonly #startsBefore: number;

  constructor(id: string, { lane, inputBlob, alone }: Submission, row: () => Row) {
    this.id = id;
    this.lane = lane;
    this.inputBlob = inputBlob;
    this.#row = row;
    this.#startsBefore = alone ? LOSSES_OF_A_SUSPECT : 0;
  }

  get row(): Row {
    return this.#row();
  }

  get token(): string | null {
    return this.row.token;
  }

  get session(): string | null {
    return this.row.session;
  }

  get nextSeq(): number {
    return this.row.nextSeq;
  }

  /** Starts that were counted: by a claim, or by a `starting`. */
  get starts(): number {
    return this.row.attempt - this.#startsBefore;
  }

  /**
   * The event that ended it, or one that stands for an end which the edge made itself; null while it hasn't ended, or
   * when it was canceled.
   */
  get terminal(): PoolEvent | null {
    const { row } = this;
    if (!isFinished(row.state) || row.state === "canceled") return null;
    const last = this.events.findLast(({ type }) => type === "succeeded" || type === "failed");
    if (row.state === "succeeded" || (last?.type === "failed" && last.error.message === row.error?.message))
      return last ?? null;
    const { code = "", message = "" } = row.error ?? {};
    return {
      id: row.id,
      token: "",
      seq: -1,
      type: "failed",
      kind: code === "timed_out" ? "timeout" : "model",
      error: { code, message },
    };
  }
}
