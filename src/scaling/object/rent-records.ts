/**
 * Time of rented machines that no pool meters, because none is there yet, or any more: numbered, and told again until
 * it is taken. It is `overhead`, but for the boot of a machine that one version alone caused: that may be charged to
 * who deployed it, and what was decided is stored before anybody is told.
 */
import * as z from "zod";
import { IntervalRecordSchema, OVERHEAD_ACCOUNT } from "../../metering/record.ts";
import type { Charged } from "../../registry/charged-deployment.ts";
import type { ModelNeed } from "../placement.ts";
import { isWorking } from "./machine.ts";
import type { Machine } from "./machine.ts";

export const SOURCE = "scaler";
/** Beyond this the oldest is lost: the meter has been away for days. */
const MAX_WAITING = 2000;
const US_PER_MS = 1000;

/** `next`: the number of the next record. */
export const WaitingSchema = z.object({
  next: z.number(),
  /** `cause`: who is charged is not decided yet. */
  records: z.array(z.object({ n: z.number(), record: IntervalRecordSchema, cause: z.string().optional() })),
});
type WaitingRecord = Waiting["records"][number];
type Waiting = z.output<typeof WaitingSchema>;

type Store = { read(name: "unmetered"): Waiting | null; write(name: "unmetered", waiting: Waiting): void };

export class RentRecords {
  readonly #store: Store;
  #waiting: Waiting;

  /** Numbers follow the clock, so that a scaler that was put back from a backup gives none that it gave before. */
  constructor(store: Store, nowMs: number) {
    this.#store = store;
    const { next, records } = store.read("unmetered") ?? { next: 1, records: [] };
    this.#waiting = { next: Math.max(next, nowMs * US_PER_MS), records };
  }

  /** What isn't taken yet, oldest first. */
  get waiting(): readonly WaitingRecord[] {
    return this.#waiting.records;
  }

  add({ id, hardware, devices, cause }: Machine, fromMs: number, toMs: number, phase: "boot" | "unused"): void {
    const n = this.#waiting.next;
    const record = {
      ...({ v: 2, kind: "instance.interval", id: `${SOURCE}.${n}`, at: toMs, account: OVERHEAD_ACCOUNT } as const),
      ...{ deployment: null, device: hardware, gpuUs: (toMs - fromMs) * US_PER_MS * devices, flags: [] },
      ...{ instance: id, model: null, version: null, phase, fromMs, toMs },
    };
    const one = phase === "boot" && cause !== null ? { n, record, cause } : { n, record };
    this.#write({ next: n + 1, records: [...this.#waiting.records, one].slice(-MAX_WAITING) });
  }

  /** Decides who is charged for what these versions caused; null: nobody is. */
  charge(decided: ReadonlyMap<string, Charged | null>): void {
    const records = this.#waiting.records.map((one) => {
      const { n, record, cause = "" } = one;
      const charged = decided.get(cause);
      if (charged === undefined) return one;
      return { n, record: charged === null ? record : { ...record, ...accountOf(charged) } };
    });
    this.#write({ ...this.#waiting, records });
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

function accountOf({ accountId, deployment }: Charged): { account: string; deployment: string } {
  return { account: accountId, deployment };
}

/** The version for which alone a class with these machines rents; null: several want it, or its minimum does. */
export function soleCause(needs: readonly ModelNeed[], machines: readonly Machine[], min: number): string | null {
  const [only, ...others] = needs.filter((need) => need.machines > 0 || need.min > 0);
  if (only === undefined || others.length > 0 || machines.filter(isWorking).length < min) return null;
  return only.model;
}
