/** Every scenario, in the order in which they run. */
import type { Scenario } from "../harness/scenario.ts";
import { kills } from "./kills.ts";

export const scenarios: readonly Scenario[] = [...kills];
