/** Which machines can be rented in a simulation: a JSON file of scenarios. */
import { readFileSync } from "node:fs";
import * as z from "zod";
import type { Scenario } from "./types.ts";

export const DEFAULT_SCENARIOS = new URL("./scenarios.json", import.meta.url).pathname;

const ScenarioSchema = z.strictObject({
  name: z.string().min(1).max(80),
  bootS: z.number().min(0).max(86_400),
  slots: z.number().int().min(1).max(1024),
  billingS: z.number().min(1).max(86_400),
  pricePerHour: z.number().positive(),
  lossPerHour: z.number().min(0).max(60),
  seed: z.number().int().min(0),
});

/** Throws with what is wrong, and where. */
export function readScenarios(file: string): Scenario[] {
  const parsed = z
    .array(ScenarioSchema)
    .min(1)
    .safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (parsed.success) return parsed.data;
  throw new Error(`${file}: ${z.prettifyError(parsed.error)}`);
}
