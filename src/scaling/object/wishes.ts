/** What models, deployments and settings ask of scaling, by version; and which class a version belongs to. */
import type { ModelScaling } from "../../contract/model-scaling.ts";
import type { ScalingSettings } from "../../contract/scaling.ts";
import { homeOf } from "./homes.ts";
import type { PriceOf } from "./homes.ts";

/** As the registry has it. `key`: `owner/name version`. */
export type Wish = {
  key: string;
  model: string;
  version: string;
  lane: string;
  /** What its owner says. */
  own: ModelScaling;
  /** By its deployments: hardware that they name, their bounds summed. */
  deployments: { hardware: string; min: number; max: number }[];
  /** The model's own word. */
  hardware: string | null;
  /** What one process takes of its devices. */
  memoryBytes: number;
};

export type Resolved = {
  hardware: string | null;
  why: string | null;
  targetS: number | null;
  min: number;
  /** What the operator's settings say of `min`: it holds for a version, too, that nothing has proven. */
  firmMin: number;
  max: number;
  /** Classes that may run it as well, and that have or can have a machine; none where it names one. */
  others: string[];
};

/** Classes that are set or offered, the cheapest first; and where the version was until now. */
export type Choice = { classes: readonly string[]; home: string | null; priceOf: PriceOf };

export function resolve(wish: Wish, settings: ScalingSettings, { classes, home, priceOf }: Choice): Resolved {
  const said = { ...wish.own, ...settings.models[wish.model] };
  const mins = wish.deployments.map(({ min }) => Math.min(min, settings.deployment_min));
  const maxes = wish.deployments.map(({ max }) => max).filter((max) => max > 0);
  const bounds = {
    targetS: said.targetWaitMs === undefined ? null : said.targetWaitMs / 1000,
    min: said.min ?? mins.reduce((sum, min) => sum + min, 0),
    firmMin: settings.models[wish.model]?.min ?? 0,
    max: said.max ?? (maxes.length > 0 ? maxes.reduce((sum, max) => sum + max, 0) : Infinity),
  };
  const names = [said.hardware, ...wish.deployments.map(({ hardware }) => hardware), wish.hardware ?? undefined];
  const owner = wish.model.split("/")[0] ?? "";
  const candidates = [...names, settings.default_class].filter(
    (name): name is string => name !== undefined && classes.includes(name),
  );
  const isServed = (name: string): boolean => {
    const { owners = ["local"], lanes = ["default"] } = settings.classes[name] ?? {};
    return owners.includes(owner) && lanes.includes(wish.lane);
  };
  const named = candidates.find(isServed);
  if (named !== undefined) return { ...bounds, hardware: named, why: null, others: [] };
  const served = classes.filter(isServed);
  const hardware = homeOf(served, home, priceOf);
  const others = served.filter((name) => name !== hardware && priceOf(name) < Infinity);
  if (hardware !== undefined)
    return { ...bounds, hardware, why: null, others: others.toSorted((a, b) => priceOf(a) - priceOf(b)) };
  const [first] = [...candidates, ...classes];
  const why =
    first === undefined
      ? "there is no class of machines"
      : `no class has the owner ${owner} among its owners and the lane ${wish.lane} among its lanes`;
  return { ...bounds, hardware: null, why, others: [] };
}
