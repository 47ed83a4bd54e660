/** What of a model's metrics counts as units of its work. */
import type { Json } from "../../src/contract/prediction.ts";
import { MAX_UNITS, UNIT_NAME } from "../../src/contract/usage.ts";
import type { Units } from "../../src/contract/usage.ts";

/** Measured by the platform, and no work of the model's. */
const PLATFORM: ReadonlySet<string> = new Set(["predict_time", "total_time"]);

/** The first numbers among them that can be counted, by name; undefined: there are none. */
export function unitsOf(metrics: Readonly<Record<string, Json>>): Units | undefined {
  const counted = Object.entries(metrics).filter(
    (metric): metric is [string, number] =>
      typeof metric[1] === "number" && metric[1] >= 0 && UNIT_NAME.test(metric[0]) && !PLATFORM.has(metric[0]),
  );
  return counted.length === 0 ? undefined : Object.fromEntries(counted.slice(0, MAX_UNITS));
}
