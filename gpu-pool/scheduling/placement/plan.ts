/**
 * Which models get an instance on which devices now, and which instances end for it: over all models of a host at once.
 * Pure, and without memory: it is asked again whenever anything has changed, and what it wants is the same until that
 * is done.
 *
 * Order: models without an instance first, pinned ones before others, then who has waited longest; then those that
 * want more instances. Each takes the devices where it costs least: free memory before evictions, then those where it
 * did not fail last, then the fewest residents, then the most free memory. What it needs is set aside before the next
 * is looked at.
 */
import { Ledger } from "./ledger.ts";
import type { Account } from "./ledger.ts";
import { reliefOf } from "./relief.ts";
import type { Host, PlacedInstance, PlacementModel, Plan } from "./types.ts";
import { chooseVictims, heldUntilMs, valueOf } from "./victims.ts";
import type { Candidate, Comer } from "./victims.ts";

/**
 * The first load of a model whose needs nobody knows wants this part free of what it could have of a device, and gets
 * all that is.
 */
const UNKNOWN_SHARE = 0.5;
/** Who has waited so long for a place has it kept free, so that small ones don't fill it again and again. */
const KEEP_FREE_AFTER_MS = 5000;

type Option = {
  account: Account;
  /** What the instance will be taken to use. */
  bytes: number;
  victims: Candidate[];
  /** When it could be had: now, or by waiting for those that leave or may be ended later. */
  atMs: number;
  isFree: boolean;
  hasFailed: boolean;
  cost: number;
};

export function planPlacement(host: Host, nowMs: number): Plan {
  const ledger = new Ledger(host);
  const plan: Plan = { starts: [], evictions: reliefOf(host, ledger), blocked: [], lookAgainInMs: Infinity };
  for (const comer of comersOf(host)) place(comer, host, ledger, plan, nowMs);
  return plan;
}

/** Those that want an instance, one entry for each that they want. */
function comersOf({ devices, models, instances }: Host): Comer[] {
  const comers = models.flatMap((model) => {
    const has = instances.filter((one) => one.model === model.model && one.state !== "leaving").length;
    const more = Math.min(isGuess(model, devices) ? 1 - has : Infinity, model.wanted - has, model.startable);
    return Array.from({ length: Math.max(0, more) }, (_, index) => ({ model, isFirst: has === 0 && index === 0 }));
  });
  return comers.sort(
    (one, other) =>
      Number(other.isFirst) - Number(one.isFirst) ||
      Number(other.model.pinned) - Number(one.model.pinned) ||
      one.model.wantedSinceMs - other.model.wantedSinceMs,
  );
}

function place(comer: Comer, host: Host, ledger: Ledger, plan: Plan, nowMs: number): void {
  const { model } = comer;
  const options = ledger
    .all()
    .filter(({ device }) => mayUse(model, device))
    .flatMap((account) => optionOn(account, comer, host, plan, nowMs) ?? [])
    .sort(byCost);
  const chosen = options.slice(0, model.devicesPerInstance);
  if (chosen.length < model.devicesPerInstance) {
    plan.blocked.push(model.model);
    return;
  }
  const devices = chosen.map(({ account }) => account.device.id);
  const bytes = Math.max(...chosen.map((option) => option.bytes));
  if (chosen.every(({ isFree }) => isFree)) {
    const fitting = Math.min(bytes, ...chosen.map(({ account }) => account.free));
    plan.starts.push({ model: model.model, devices, bytes: fitting });
    ledger.take(devices, fitting);
    return;
  }
  plan.blocked.push(model.model);
  const atMs = Math.max(...chosen.map((option) => option.atMs));
  if (atMs > nowMs) {
    plan.lookAgainInMs = Math.min(plan.lookAgainInMs, atMs - nowMs);
    const waitedMs = nowMs - model.wantedSinceMs;
    if (comer.isFirst && waitedMs >= KEEP_FREE_AFTER_MS) ledger.take(devices, bytes);
    else if (comer.isFirst) plan.lookAgainInMs = Math.min(plan.lookAgainInMs, KEEP_FREE_AFTER_MS - waitedMs);
    return;
  }
  for (const { instance } of chosen.flatMap(({ victims }) => victims)) {
    if (plan.evictions.includes(instance.id)) continue;
    plan.evictions.push(instance.id);
    ledger.evict(instance);
  }
  ledger.take(devices, bytes);
}

/** Whether nobody knows anything of what it needs: one at a time is loaded, and measured. */
export function isGuess(model: PlacementModel, devices: Host["devices"]): boolean {
  return model.bytes === null && isBounded(model, devices);
}

function isBounded(model: PlacementModel, devices: Host["devices"]): boolean {
  return model.kind === "cuda" && devices.some((device) => mayUse(model, device) && device.memoryBytes !== null);
}

function mayUse(model: PlacementModel, { id, kind, problem }: Account["device"]): boolean {
  return kind === model.kind && problem === null && (model.devices === null || model.devices.includes(id));
}

/** What it takes to get onto this device; null when that can't be had by ending others. */
function optionOn(account: Account, comer: Comer, host: Host, plan: Plan, nowMs: number): Option | null {
  const { model } = comer;
  const { capacity, free, coming } = account;
  const room = capacity - keptByPinned(account, model, host);
  const need = needOf(model, room);
  if (need > room) return null;
  const isUnknown = model.bytes === null && !model.alone && capacity !== Infinity;
  const hasFailed = model.failedOn?.has(account.device.id) ?? false;
  const option = { account, victims: [], cost: 0, isFree: false, hasFailed, atMs: nowMs };
  if (free >= need) return { ...option, bytes: isUnknown && model.kind === "cuda" ? free : need, isFree: true };
  if (free + coming >= need) return { ...option, bytes: need };
  const chosen = chooseVictims(candidatesOn(account, comer, host, plan), need - free - Math.max(0, coming), nowMs);
  if (chosen === null) return null;
  const cost = chosen.victims.reduce((sum, { value }) => sum + value, 0);
  return { ...option, ...chosen, bytes: need, cost };
}

/** What never comes free on a device: what pinned models of others hold, but for one that its load only measures. */
function keptByPinned({ device }: Account, { model }: PlacementModel, { models, instances }: Host): number {
  const pinned = new Map(models.filter((one) => one.pinned && one.model !== model).map((one) => [one.model, one]));
  const stays = ({ model: name, state }: PlacedInstance): boolean => {
    const owner = pinned.get(name);
    return owner !== undefined && state !== "leaving" && (state !== "loading" || owner.bytes !== null);
  };
  return instances
    .filter((one) => one.devices.includes(device.id) && stays(one))
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

/** What must be free on a device, of which it could have `room`. */
function needOf({ kind, bytes, least, alone }: PlacementModel, room: number): number {
  if (room === Infinity) return bytes ?? 0;
  if (alone) return Math.max(room, least, bytes ?? 1, 1);
  return bytes ?? (kind === "cuda" ? Math.max(room * UNKNOWN_SHARE, least, 1) : 0);
}

function candidatesOn({ device }: Account, comer: Comer, { models, instances }: Host, plan: Plan): Candidate[] {
  const onIt = (one: PlacedInstance): boolean => one.devices.includes(device.id) && !plan.evictions.includes(one.id);
  return instances.filter(onIt).flatMap((instance) => {
    const owner = models.find(({ model }) => model === instance.model);
    if (owner === undefined) return [];
    const count = instances.filter((one) => one.model === instance.model && one.state !== "leaving").length;
    return { instance, value: valueOf(owner, count), heldUntilMs: heldUntilMs(instance, owner, comer) };
  });
}

function byCost(one: Option, other: Option): number {
  return (
    Number(other.isFree) - Number(one.isFree) ||
    Number(one.hasFailed) - Number(other.hasFailed) ||
    one.atMs - other.atMs ||
    one.cost - other.cost ||
    one.account.residents - other.account.residents ||
    other.account.free - one.account.free
  );
}
