/** What scaling wants, has, and why: for the operator. */
import { amountOf } from "../../contract/price.ts";
import { nanoOf } from "../../contract/scaling.ts";
import { waitingOf } from "./appetite.ts";
import { settingsOf } from "./class-state.ts";
import type { ScalerCore } from "./core.ts";
import { costNano, isWorking } from "./machine.ts";
import type { Machine, MachineState } from "./machine.ts";
import { servingIn } from "./residents.ts";

export type ClassStatus = {
  hardware: string;
  wanted: number;
  there: number;
  starting: number;
  draining: number;
  /** In one sentence, with the numbers. */
  why: string;
  spentNano: number;
};
export type ModelStatus = {
  model: string;
  version: string;
  hardware: string | null;
  wanted: number;
  waiting: number;
  waitingS: number;
  running: number;
  why: string;
};
export type MachineStatus = {
  id: string;
  hardware: string;
  provider: string;
  offer: string;
  state: MachineState;
  why: string;
  ageS: number;
  costNano: number;
  session: string | null;
};
export type ProviderStatus = {
  name: string;
  kind: string;
  isHere: boolean;
  heardAtMs: number;
  offers: number;
  problem: string | null;
  balanceNano: number | null;
  isLow: boolean;
  orphans: number;
  orphansReturned: number;
  duplicatesReturned: number;
};
export type ScalingStatus = {
  isOn: boolean;
  currency: string;
  spentNano: number;
  classes: ClassStatus[];
  models: ModelStatus[];
  machines: MachineStatus[];
  providers: ProviderStatus[];
  counts: Record<string, number>;
};

export function statusOf(core: ScalerCore, nowMs: number): ScalingStatus {
  return {
    isOn: core.isOn,
    currency: core.settings.currency,
    spentNano: core.spentNano(),
    classes: [...core.classes.keys()].map((hardware) => classStatus(core, hardware)),
    models: modelsOf(core, nowMs),
    machines: core.book.all().map((machine) => ({
      id: machine.id,
      hardware: machine.hardware,
      provider: machine.provider,
      offer: machine.offer,
      state: machine.state,
      why: whyOf(core, machine),
      ageS: Math.max(0, Math.round((nowMs - machine.wantedAtMs) / 1000)),
      costNano: costNano(machine, core.billingMs()),
      session: machine.session,
    })),
    providers: providersOf(core),
    counts: { ...core.book.counts },
  };
}

/** One that is to be returned, and whose provider service is silent, counts until somebody looks. */
function whyOf(core: ScalerCore, { id, state, provider, why }: Machine): string {
  if (state !== "gone" || core.isHere(provider)) return why;
  const before = why === "" || why.endsWith(".") ? why : `${why}.`;
  const advice = `Start it, or look at the provider and run edgeplane scaling forget ${id}.`;
  return `${before} It counts as there, since the service of ${provider} is not heard. ${advice}`.trim();
}

function classStatus(core: ScalerCore, hardware: string): ClassStatus {
  const machines = core.book.all().filter((one) => one.hardware === hardware);
  const last = core.classes.get(hardware)?.last ?? null;
  const wanted = last === null ? 0 : last.plan.wanted.spot + last.plan.wanted.onDemand;
  const spent = core.spentNano(hardware);
  const cap = settingsOf(core.settings, hardware).monthly_cap;
  const money = `${amountOf(spent)} ${core.settings.currency} were spent on it this month${cap === null ? "" : ` of ${cap}`}.`;
  const problem = last?.problem === null || last === null ? "" : ` None can be rented: ${last.problem}.`;
  return {
    hardware,
    wanted,
    there: machines.filter((one) => isWorking(one) && one.session !== null).length,
    starting: machines.filter((one) => isWorking(one) && one.session === null).length,
    draining: machines.filter(({ state }) => state === "draining").length,
    why: `${last?.plan.why ?? "Nothing asks for it."}${problem} ${money}`,
    spentNano: spent,
  };
}

function modelsOf(core: ScalerCore, nowMs: number): ModelStatus[] {
  return core.appetites.entries().map(([key, appetite]) => {
    const { hardware } = core.resolved(key);
    const { demand } = appetite;
    const waiting = waitingOf(demand);
    const running = demand?.inFlight ?? 0;
    const waitingS = Math.round((demand?.waitingMs ?? 0) / 100) / 10;
    const waits = waiting === 0 ? "None waits" : `${waiting} wait, and there were such for ${waitingS} s`;
    const took =
      appetite.workS === null ? "None has ended yet" : `One takes ${appetite.workS.toFixed(2)} s of a machine`;
    const load = `What arrives keeps ${appetite.reasons.load.toFixed(2)} slots busy`;
    const numbers = `${waits}; ${running} run. ${took}. ${load}.`;
    const elsewhere = [...new Set(core.spills.classesOf(key))].join(" and ");
    const spilled = elsewhere === "" ? "" : ` What ${hardware} can't give is rented in ${elsewhere}.`;
    const { most, why } = boundOf(core, key, appetite.wanted, nowMs);
    return {
      model: appetite.model,
      version: appetite.version,
      hardware,
      wanted: Math.min(most, appetite.wanted),
      waiting,
      waitingS,
      running,
      why: `${numbers}${most > 0 ? spilled : ""}${why}`,
    };
  });
}

/** How many machines a version may have of those that it wants, and why no more, in sentences. */
function boundOf(core: ScalerCore, key: string, wanted: number, nowMs: number): { most: number; why: string } {
  const { hardware, why: classless, min, firmMin } = core.resolved(key);
  if (hardware === null) return { most: 0, why: ` No machine is rented for it: ${classless}.` };
  const serving = servingIn(core, key, hardware, true).all;
  const sick = core.sickness.reason(key, nowMs);
  if (sick !== null)
    return { most: serving, why: ` No ${serving > 0 ? "other " : ""}machine is rented for it: ${sick}.` };
  const caution = serving > 0 ? null : core.sickness.caution(key, nowMs, firmMin, Math.max(min, wanted));
  return { most: Infinity, why: caution === null ? "" : ` ${caution}` };
}

function providersOf(core: ScalerCore): ProviderStatus[] {
  const limit = core.settings.low_balance;
  return core.providers.all().map((one) => ({
    name: one.name,
    kind: one.kind,
    isHere: core.isHere(one.name),
    heardAtMs: one.heardAtMs,
    offers: one.offers.length,
    problem: one.problem,
    balanceNano: one.balance?.nano ?? null,
    isLow: limit !== undefined && one.balance !== null && one.balance !== undefined && one.balance.nano < nanoOf(limit),
    orphans: one.orphans,
    orphansReturned: one.orphansReturned,
    duplicatesReturned: one.duplicatesReturned,
  }));
}
