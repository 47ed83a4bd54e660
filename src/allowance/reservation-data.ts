/** A reservation as the shard keeps it with the prediction: few characters, as every prediction has one. */
import * as z from "zod";
import { allowanceUnits, calendarPeriods } from "../../plugins/kernel/allowance.ts";
import type { AllowanceStoreName } from "../../plugins/kernel/allowance.ts";
import type { Json } from "../contract/prediction.ts";
import type { BucketSpec, Reservation, Taken } from "./types.ts";

const algorithms = ["fixed-window", "sliding-window", "token-bucket", "concurrency", "calendar", "balance"] as const;

/**
 * Subject, bucket, unit, algorithm, amount, `at`, held, limit, window (of a calendar's, which period), refill; 0 for
 * what its algorithm has not.
 */
const ChargeSchema = z.tuple([
  z.number().int(),
  z.string(),
  z.number().int(),
  z.number().int(),
  z.number(),
  z.number(),
  z.number(),
  z.number(),
  z.number(),
  z.number(),
]);
const DataSchema = z.object({
  s: z.enum(["objects", "redis", "ledger"]),
  e: z.number(),
  subjects: z.array(z.string()),
  c: z.array(ChargeSchema),
});
type Packed = z.infer<typeof ChargeSchema>;

export function toData(store: AllowanceStoreName, { expiresAt, taken }: Reservation): Json {
  const subjects = [...new Set(taken.map(({ subject }) => subject))];
  const c = taken.map((charge): Packed => {
    const { subject, bucket, unit, spec, at, held = false } = charge;
    return [
      subjects.indexOf(subject),
      bucket,
      allowanceUnits.indexOf(unit),
      algorithms.indexOf(spec.algorithm),
      charge.amount,
      at,
      held ? 1 : 0,
      spec.limit,
      windowOf(spec),
      "refill" in spec ? spec.refill : 0,
    ];
  });
  return { s: store, e: expiresAt, subjects, c };
}

/** Throws for what `toData` never made. */
export function fromData(id: string, data: Json): { store: AllowanceStoreName; reservation: Reservation } {
  const { s: store, e: expiresAt, subjects, c } = DataSchema.parse(data);
  return { store, reservation: { id, expiresAt, taken: c.map((packed) => unpack(packed, subjects)) } };
}

function windowOf(spec: BucketSpec): number {
  if (spec.algorithm === "calendar") return calendarPeriods.indexOf(spec.period);
  return "windowMs" in spec ? spec.windowMs : 0;
}

function unpack(packed: Packed, subjects: readonly string[]): Taken {
  const [subject, bucket, unitIndex, algorithmIndex, charged, at, held, limit, windowMs, refill] = packed;
  const [unit, algorithm] = [allowanceUnits[unitIndex], algorithms[algorithmIndex]];
  if (unit === undefined || algorithm === undefined) throw new Error("a reservation of another version");
  return {
    ...{ subject: subjects[subject] ?? "", bucket, unit, amount: charged, at, held: held === 1 },
    spec: specOf(algorithm, limit, windowMs, refill),
  };
}

function specOf(algorithm: (typeof algorithms)[number], limit: number, windowMs: number, refill: number): BucketSpec {
  switch (algorithm) {
    case "concurrency":
      return { algorithm, limit };
    case "balance":
      return { algorithm, limit: 0 };
    case "calendar":
      return { algorithm, limit, period: calendarPeriods[windowMs] ?? "all" };
    case "token-bucket":
      return { algorithm, limit, windowMs, refill };
    default:
      return { algorithm, limit, windowMs };
  }
}
