/** The price of a prediction that is about to be accepted, as the settings have it that its request began with. */
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { modelPath } from "../../contract/manifest.ts";
import type { Env } from "../../env.ts";
import { expectedPricing } from "../../metering/expected.ts";
import type { Expecting } from "../../metering/expected.ts";
import { isFree } from "../../metering/price.ts";
import type { Pricing } from "../../contract/price.ts";

/** Null where its model costs nothing: then nothing of it is kept. */
export async function pricingOf(
  env: Pick<Env, "LANE" | "METER">,
  snapshot: Pick<Snapshot, "priceOf">,
  one: Expecting,
): Promise<Pricing | null> {
  const price = snapshot.priceOf(modelPath(one.model));
  if (price === null || isFree(price)) return null;
  return expectedPricing(env, price, one);
}
