/**
 * What to do about the machines of one hardware class: the models' needs packed on as few as they fit, within the
 * class's bounds and its spending cap; machines that were needed a moment ago stay for a while.
 *
 * Whoever carries it out (a Durable Object with alarms) holds one `ClassPlanner` a class, asks one policy a model for
 * its wish (`SelfTuning.machines`), and calls `plan` at each look, with what is there. A plan says what should be,
 * whatever was said before, so that it may be asked for again at any time: `order` counts machines to rent now, `drain`
 * names those to drain now, and machines that drain are only counted from then on.
 */
import { KeepAlive } from "./keep-alive.ts";
import { leaving } from "./leaving.ts";
import type { Leaver } from "./leaving.ts";
import { place } from "./placement.ts";
import type { Host, ModelNeed, Placement } from "./placement.ts";
import { affordable } from "./spending.ts";
import type { Spending } from "./spending.ts";
import { spotPlan } from "./spot.ts";
import type { SpotMarket } from "./spot.ts";

export type ClassMachine = Host & Leaver & { isSpot: boolean };

/** What is there: machines that take work or will, and how many others drain or were not returned yet. */
export type ClassFleet = { nowS: number; machines: readonly ClassMachine[]; leaving: number };

export type ClassBounds = {
  min: number;
  /** Machines that leave count, too. */
  max: number;
  /** Of one machine. */
  memoryBytes: number;
  spending: Spending;
  /** Of the dearest offer that may be taken. */
  pricePerHourNano: number;
  /** What is rented must be affordable for so long: a boot and an increment. */
  aheadS: number;
  /** Null: on demand only; so too while no offer of spot machines is left. */
  spot: SpotMarket | null;
  /** Between two looks. */
  everyS: number;
};

type Split = { spot: number; onDemand: number };
export type ClassPlan = {
  /** Machines that there should be. */
  wanted: Split;
  order: Split;
  drain: string[];
  placement: Placement;
  /** One sentence, with the numbers. */
  why: string;
};

export class ClassPlanner {
  readonly #keepAlive: KeepAlive;

  /** `keepS`: a machine that is needed no more stays so long. */
  constructor(keepS: number) {
    this.#keepAlive = new KeepAlive(keepS);
  }

  plan({ nowS, machines, leaving: left }: ClassFleet, needs: readonly ModelNeed[], bounds: ClassBounds): ClassPlan {
    const { min, max, memoryBytes, spending, pricePerHourNano, aheadS } = bounds;
    const canPay = affordable(spending, pricePerHourNano, aheadS);
    const limit = Math.min(max, canPay);
    const placement = place(needs, machines, { limit, memoryBytes });
    const needed = placement.machines.length;
    const fresh = placement.machines.filter(({ id }) => id === null).length;
    // A copy that gets a new machine fits on none that is there: they are no replacement for it.
    const withFresh = fresh === 0 ? 0 : fresh + machines.length;
    const kept = Math.min(machines.length, this.#keepAlive.needed(nowS, needed));
    const total = Math.min(limit, Math.max(needed, kept, min, withFresh));
    const wanted = split(total, limit, machines, bounds.spot);
    const there = { spot: machines.filter(({ isSpot }) => isSpot), onDemand: machines.filter(({ isSpot }) => !isSpot) };
    const room = Math.max(0, limit - machines.length - left);
    const spot = Math.min(room, Math.max(0, wanted.spot - there.spot.length));
    const onDemand = Math.min(room - spot, Math.max(0, wanted.onDemand - there.onDemand.length));
    const used = new Set(placement.machines.map(({ id }) => id));
    const marginS = 2 * bounds.everyS;
    return {
      wanted,
      order: { spot, onDemand },
      drain: [
        ...surplus(there.spot, wanted.spot, used, marginS),
        ...surplus(there.onDemand, wanted.onDemand, used, marginS),
      ],
      placement,
      why: sentence({ needed, fresh, kept, min, max, canPay, total, there: machines.length, left }),
    };
  }
}

/** Never more than `limit` in all: spot machines first, and on demand what room is left. */
function split(total: number, limit: number, machines: readonly ClassMachine[], market: SpotMarket | null): Split {
  if (market === null) return { spot: 0, onDemand: total };
  const ready = machines.filter(({ isSpot, state }) => isSpot && state === "ready").length;
  const plan = spotPlan(total, ready, market);
  const onDemandThere = machines.filter(({ isSpot }) => !isSpot).length;
  const spot = Math.min(plan.spot, limit - Math.min(onDemandThere, plan.onDemand));
  return { spot, onDemand: Math.min(plan.onDemand, limit - spot) };
}

/** Those that nothing is placed on leave before the others. */
function surplus(
  machines: readonly ClassMachine[],
  wanted: number,
  used: ReadonlySet<string | null>,
  marginS: number,
): string[] {
  const count = machines.length - wanted;
  const unused = machines.filter(({ id }) => !used.has(id));
  const inUse = machines.filter(({ id }) => used.has(id));
  return [...leaving(unused, count, marginS), ...leaving(inUse, count - unused.length, marginS)];
}

type Numbers = Record<"needed" | "fresh" | "kept" | "min" | "max" | "canPay" | "total" | "there" | "left", number>;

function sentence({ needed, fresh, kept, min, max, canPay, total, there, left }: Numbers): string {
  const reasons = [
    needed === 0 ? "no model needs any" : `the models need ${needed}`,
    ...(fresh > 0 && there > needed - fresh ? [`for ${fresh} of which none that is there will do`] : []),
    ...(kept > needed ? [`${kept} were needed a moment ago`] : []),
    ...(min > Math.max(needed, kept) ? [`at least ${min} are asked for`] : []),
    ...(total === canPay && canPay < max ? [`the spending cap pays for ${canPay} at most`] : []),
    ...(total === max ? [`at most ${max} are allowed`] : []),
    ...(left > 0 && there + left >= max ? [`and ${left} more ${areCounted(left)}`] : []),
  ];
  return `${total} ${total === 1 ? "machine is" : "machines are"} wanted, ${there} there: ${reasons.join(", ")}.`;
}

function areCounted(leaving: number): string {
  return leaving === 1
    ? "counts until its provider no longer lists it"
    : "count until their providers no longer list them";
}
