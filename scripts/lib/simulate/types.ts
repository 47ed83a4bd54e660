/** What a simulation is given. */
import type { Machines, Timed } from "../../../src/scaling/policy.ts";
import type { Requests } from "../../../src/scaling/simulation/simulate.ts";

/** The requests of one model. */
export type ModelRequests = Requests & { model: string };
export type Trace = { name: string; models: ModelRequests[] };

export type Scenario = Machines & { name: string; pricePerHour: number; seed: number };

/** One setting of a rule. */
export type Candidate = { rule: string; knobs: string; isDefault: boolean; make(setting: Setting): Timed };

/** What a rule may know of its surroundings before it starts. */
export type Setting = {
  scenario: Scenario;
  meanWorkS: number;
  /** Slots that the busiest ten minutes keep busy. */
  peakLoad: number;
};
