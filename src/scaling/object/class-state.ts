/** One hardware class at one look: what its models need, what that makes of its machines, and why. */
import { defaultClass, nanoOf } from "../../contract/scaling.ts";
import type { HardwareClass, ScalingSettings } from "../../contract/scaling.ts";
import { ClassPlanner } from "../class-plan.ts";
import type { ClassMachine, ClassPlan } from "../class-plan.ts";
import { leavesAheadS } from "../leaving.ts";
import type { ModelNeed } from "../placement.ts";
import { affordable } from "../spending.ts";
import type { Spending } from "../spending.ts";
import { isWorking, paidForS } from "./machine.ts";
import type { Machine } from "./machine.ts";
import { choose, fitting } from "./offers.ts";
import type { KnownOffer, Taken } from "./offers.ts";
import type { Unrented } from "./spills.ts";
import type { SpotLosses } from "./spot-losses.ts";

const GIB = 1024 ** 3;
/** Until one was seen to boot. */
const UNKNOWN_BOOT_S = 60;
const EVERY_S = 1;
/** A machine that boots is returned once it was needless for so long: what needs it a moment later rents anew else. */
const NEEDLESS_S = 30;
/** What bringing one model back takes, where it isn't known. */
const BRING_BACK_S = 30;
/** From the word that a machine is to leave until its provider has ended it, in which it costs still. */
const RETURN_S = 10;
/** What is handed to a pool is seen neither waiting nor running for a moment: a shorter silence is no end. */
const HANDOVER_S = 5;

export type Look = {
  nowS: number;
  nowMs: number;
  settings: ScalingSettings;
  offers: readonly KnownOffer[];
  /** Of this class. */
  machines: readonly Machine[];
  needs: readonly ModelNeed[];
  /** Seconds since anything of it last waited or ran. */
  idleS: number;
  spent: { ofClass: number; inAll: number };
  bootMs: number | null;
  isAvoided(key: string): boolean;
  /** Of spot machines that were taken away. */
  losses: Pick<SpotLosses, "perHour" | "lostAtMs">;
  /** Models that serve on it, those whose set-up failed there, and what still runs there: how many, and seconds. */
  onMachine(machine: Machine): { models: string[]; unfit: string[]; running: number; runningS: number };
  /** Pools of it that nobody rented. */
  standing: readonly string[];
};

export type Decision = {
  plan: ClassPlan;
  rent: KnownOffer[];
  /** What stands against what is wanted; null: nothing. */
  problem: string | null;
  /** Of the models, what was to be on machines that can't be rented. */
  unrented: Unrented[];
};

export function settingsOf({ classes }: ScalingSettings, hardware: string): HardwareClass {
  return classes[hardware] ?? defaultClass;
}

export class ClassState {
  readonly hardware: string;
  readonly #planner: ClassPlanner;
  readonly keepS: number;
  last: Decision | null = null;
  /** Machines that boot and that the plan would return: since when. */
  #needlessSinceS = new Map<string, number>();

  constructor(hardware: string, keepS: number) {
    this.hardware = hardware;
    this.keepS = keepS;
    this.#planner = new ClassPlanner(keepS);
  }

  decide(look: Look): Decision {
    const { settings, machines, nowS } = look;
    const own = settingsOf(settings, this.hardware);
    const working = own.external ? [] : machines.filter(isWorking);
    const { offers, why } = fitting(look.offers, this.hardware, own, settings.currency);
    const spending = tightest(look, own);
    const prices = [...offers, ...working].map(({ pricePerHourNano }) => pricePerHourNano);
    const increments = [...offers, ...working].map(({ billingIncrementS }) => billingIncrementS);
    const bootS = (look.bootMs ?? UNKNOWN_BOOT_S * 1000) / 1000;
    const idleLimitS = Math.max(HANDOVER_S, own.keep_alive_s.max ?? Infinity);
    const needs =
      look.idleS > idleLimitS ? look.needs.map((need) => ({ ...need, machines: 0, keptMachines: 0 })) : look.needs;
    const fleet = own.external
      ? look.standing.map((id) => standingMachine(id))
      : working.map((machine) => this.#machine(machine, look, bootS));
    const aheadS = bootS + Math.max(0, ...increments);
    const price = Math.max(0, ...prices);
    const planned = this.#planner.plan(
      {
        nowS,
        machines: fleet,
        // What is to be returned may run on until its provider's list lacks it.
        leaving: own.external ? 0 : machines.length - working.length,
      },
      needs,
      {
        min: own.min,
        max: own.max,
        memoryBytes: own.memory_gib === undefined ? Infinity : own.memory_gib * GIB,
        spending,
        pricePerHourNano: price,
        aheadS,
        bootS,
        spot: spotMarket(offers, own, bootS, look.losses.perHour(offers, look.nowMs)),
        everyS: EVERY_S,
      },
    );
    const mayStay = working.length <= Math.min(own.max, affordable(spending, price, aheadS));
    const plan = { ...planned, drain: mayStay ? this.#patient(planned.drain, fleet, nowS) : planned.drain };
    const decision = own.external
      ? { plan, rent: [], problem: null, unrented: [] }
      : this.#rent(plan, offers, own, look, why);
    this.last = decision;
    return decision;
  }

  /** Of the machines to drain, those that don't boot, or were needless for long enough. */
  #patient(drain: readonly string[], fleet: readonly ClassMachine[], nowS: number): string[] {
    const booting = new Set(fleet.filter(({ state }) => state === "booting").map(({ id }) => id));
    const before = this.#needlessSinceS;
    this.#needlessSinceS = new Map(drain.filter((id) => booting.has(id)).map((id) => [id, before.get(id) ?? nowS]));
    return drain.filter((id) => nowS - (this.#needlessSinceS.get(id) ?? -Infinity) >= NEEDLESS_S);
  }

  #rent(plan: ClassPlan, offers: readonly KnownOffer[], own: HardwareClass, look: Look, why: string | null): Decision {
    const taken: Taken[] = look.machines.map(({ provider, offer, zone, state }) => ({
      provider,
      offer,
      zone,
      isWaiting: state === "wanted" || state === "asked",
    }));
    const lostAgoS = (provider: string, zone: string | null): number =>
      (look.nowMs - (look.losses.lostAtMs(provider, zone) ?? -Infinity)) / 1000;
    const rent: KnownOffer[] = [];
    const take = (count: number, isSpot: boolean): number => {
      let missing = count;
      for (; missing > 0; missing -= 1) {
        const offer = choose(offers, isSpot, own, taken, { isAvoided: look.isAvoided, lostAgoS });
        if (offer === null) break;
        rent.push(offer);
        taken.push({ provider: offer.provider, offer: offer.id, zone: offer.zone ?? null, isWaiting: true });
      }
      return missing;
    };
    const missing = take(plan.order.spot, true) + take(plan.order.onDemand, false);
    if (missing === 0) return { plan, rent, problem: null, unrented: [] };
    const fresh = plan.placement.machines.filter(({ id }) => id === null);
    // What is rented takes the largest of them; what is missing beyond them was for the minimum, or a spare.
    const unrented = fresh.slice(rent.length, rent.length + missing).flatMap(({ copies }) => copies);
    return { plan, rent, problem: why ?? "every offer that does was sold out, refused or failed lately", unrented };
  }

  #machine(machine: Machine, look: Look, bootS: number): ClassMachine {
    const { models, unfit, running, runningS } = look.onMachine(machine);
    const kind = { billingS: machine.billingIncrementS, bootS };
    // Where an increment costs more than a boot, none is begun only for its return.
    const returnS = kind.billingS > bootS ? RETURN_S : 0;
    const aheadS = returnS + leavesAheadS(running, runningS / Math.max(1, running), kind);
    const isThere = machine.state === "ready" || machine.state === "connected";
    return {
      id: machine.id,
      models,
      unfit,
      state: isThere ? "ready" : "booting",
      isSpot: machine.isSpot,
      rentedAtS: machine.wantedAtMs / 1000,
      runningS,
      bringBackS: models.length * BRING_BACK_S,
      // What hasn't begun to cost can leave at once.
      paidForS: paidForS(machine, look.nowMs) - aheadS,
      pricePerHour: machine.pricePerHourNano,
    };
  }
}

/** What machines of a class that stay may cost until they could be gone: no other class may spend that. */
export function aheadNanoOf(machines: readonly Machine[], hardware: string, bootMs: number | null): number {
  const bootS = (bootMs ?? UNKNOWN_BOOT_S * 1000) / 1000;
  return machines
    .filter((machine) => machine.hardware === hardware && isWorking(machine))
    .reduce((sum, one) => sum + Math.ceil((one.pricePerHourNano * (bootS + one.billingIncrementS)) / 3600), 0);
}

/** The cap that leaves least. */
function tightest({ spent, settings }: Look, own: HardwareClass): Spending {
  const caps = [
    { cap: own.monthly_cap, spentNano: spent.ofClass },
    { cap: settings.monthly_cap, spentNano: spent.inAll },
  ].flatMap(({ cap, spentNano }) => (cap === null ? [] : [{ capNano: nanoOf(cap), spentNano }]));
  const left = caps.toSorted((a, b) => a.capNano - a.spentNano - (b.capNano - b.spentNano));
  return left[0] ?? { capNano: null, spentNano: spent.ofClass };
}

function spotMarket(offers: readonly KnownOffer[], { spot }: HardwareClass, bootS: number, lossPerHour: number) {
  const cheapest = (isSpot: boolean): number =>
    Math.min(...offers.filter((offer) => offer.spot === isSpot).map(({ pricePerHourNano }) => pricePerHourNano));
  const spotPrice = cheapest(true);
  if (!spot || spotPrice === Infinity) return null;
  return { lossPerHour, bootS, spotPrice, onDemandPrice: cheapest(false) };
}

function standingMachine(id: string): ClassMachine {
  const nothing = { rentedAtS: 0, runningS: 0, bringBackS: 0, paidForS: 0, pricePerHour: 0 };
  return { id, models: [], state: "ready", isSpot: false, ...nothing };
}
