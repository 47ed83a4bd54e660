/**
 * Time of rented machines that no pool meters, because none is there yet, or any more: for the meter of `overhead`,
 * numbered, and told again until it is taken. What causes a machine to be rented is many callers' and nobody's, so it
 * is charged to none of them.
 */
import * as z from "zod";
import { IntervalRecordSchema, OVERHEAD_ACCOUNT } from "../../metering/record.ts";
import type { NumberedRecord } from "../../metering/record.ts";
import type { Machine } from "./machine.ts";

export const SOURCE = "scaler";
/** Beyond this the oldest is lost: the meter has been away for days. */
const MAX_WAITING = 2000;
const US_PER_MS = 1000;

/** `next`: the number of the next record. */
export const WaitingSchema = z.object({
  next: z.number(),
  records: z.array(z.object({ n: z.number(), record: IntervalRecordSchema })),
});
type Waiting = z.output<typeof WaitingSchema>;

type Store = { read(name: "unmetered"): Waiting | null; write(name: "unmetered", waiting: Waiting): void };

export class RentRecords {
  readonly #store: Store;
  #waiting: Waiting;

  constructor(store: Store) {
    this.#store = store;
    this.#waiting = store.read("unmetered") ?? { next: 1, records: [] };
  }

  /** What isn't taken yet, oldest first. */
  get waiting(): readonly NumberedRecord[] {
    return this.#waiting.records;
  }

  add({ id, hardware, devices }: Machine, fromMs: number, toMs: number, phase: "boot" | "unused"): void {
    const n = this.#waiting.next;
    const record = {
      ...({ v: 2, kind: "instance.interval", id: `${SOURCE}.${n}`, at: toMs, account: OVERHEAD_ACCOUNT } as const),
      ...{ deployment: null, device: hardware, gpuUs: (toMs - fromMs) * US_PER_MS * devices, flags: [] },
      ...{ instance: id, model: null, version: null, phase, fromMs, toMs },
    };
    this.#write({ next: n + 1, records: [...this.#waiting.records, { n, record }].slice(-MAX_WAITING) });
  }

  /** Those up to this number are stored elsewhere. */
  taken(upTo: number): void {
    this.#write({ ...this.#waiting, records: this.#waiting.records.filter(({ n }) => n > upTo) });
  }

  #write(waiting: Waiting): void {
    this.#waiting = waiting;
    this.#store.write("unmetered", waiting);
  }
}
