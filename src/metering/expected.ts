/**
 * What a prediction should cost, before it is accepted: by how long runs of its version take lately, which its lane
 * knows, on the dearest of the devices that have a price; and by what the account's own runs of the model recorded in
 * units, and on how many devices they ran, which its meter knows.
 */
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import type { EstimateBasis, Price, Pricing } from "../contract/price.ts";
import type { ModelRef, Priority } from "../contract/prediction.ts";
import { MAX_DEVICES } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { NO_DEVICE } from "../shard/usage.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { DAY_MS, dayOf } from "./calendar.ts";
import { costOfRun, dearestRate } from "./price.ts";
import type { UsageGroup } from "./usage-query.ts";

/** A version that nobody ran yet is taken to run so long. */
const UNKNOWN_RUN_MS = 1000;
const REMEMBERED_MS = 10_000;
const MAX_REMEMBERED = 5000;
/** Acceptance depends neither on the lane nor on the meter. */
const PATIENCE_MS = 500;
const US_A_MS = 1000;
/** As many as an account may have in two days. */
const MAX_SUMS = 1000;

/** Whose lane is asked, and where. */
export type Expecting = {
  /** Empty: nobody's in particular. */
  accountId: string;
  lane: string;
  priority: Priority;
  model: ModelRef;
};

/** What one run of the account's took in the mean, today and yesterday. */
type OwnRuns = { runMs: number; devices: number; units: Record<string, number> };

const runTimes = createTtlCache<{ ms: number | null }>(MAX_REMEMBERED);
const ownRuns = createTtlCache<{ mean: OwnRuns | null }>(MAX_REMEMBERED);

/** Never throws. */
export async function expectedPricing(
  env: Pick<Env, "LANE" | "METER">,
  price: Price,
  one: Expecting,
): Promise<Pricing> {
  const hasUnits = Object.values(price.perUnit).some((nano) => nano > 0);
  const hasTime = dearestRate(price) > 0;
  // Where neither time nor units cost, nobody need be asked.
  const [laneMs, own] = await Promise.all([
    hasTime ? runMsOf(env, one) : 0,
    hasTime || hasUnits ? ownRunsOf(env, one) : null,
  ]);
  const runMs = laneMs ?? own?.runMs ?? null;
  const devices = own?.devices ?? 1;
  const basis: EstimateBasis =
    runMs === null ? "default" : hasUnits && own === null ? (hasTime ? "run_time" : "default") : "runs";
  return {
    price,
    expectedNano: costOfRun(price, (runMs ?? UNKNOWN_RUN_MS) * devices, own?.units),
    ...(devices > 1 ? { devices } : {}),
    basis,
  };
}

async function runMsOf(
  env: Pick<Env, "LANE">,
  { accountId, lane, priority, model }: Expecting,
): Promise<number | null> {
  const { owner, name, version } = model;
  const key = `${lane} ${owner}/${name} ${version}`;
  const known = runTimes.get(key);
  if (known !== undefined) return known.ms;
  const ref = { account: accountId, priority, model: `${owner}/${name}`, version };
  const ms = await within(
    callObject(async () => objectNamed(env.LANE, lane).outlook(ref)),
    PATIENCE_MS,
  ).then(
    (outlook) => outlook.runMs,
    (error: unknown) => {
      log.warn("run_time_unknown", { lane, reason: reasonOf(error) });
      return null;
    },
  );
  runTimes.set(key, { ms }, REMEMBERED_MS);
  return ms;
}

async function ownRunsOf(env: Pick<Env, "METER">, { accountId, model }: Expecting): Promise<OwnRuns | null> {
  if (accountId === "") return null;
  const name = `${model.owner}/${model.name}`;
  const key = `${accountId} ${name}`;
  const known = ownRuns.get(key);
  if (known !== undefined) return known.mean;
  const today = dayOf(Date.now());
  const asked = { from: today - DAY_MS, to: today + DAY_MS, by: "day", group: ["device"] } as const;
  const page = { where: { model: name }, limit: MAX_SUMS, after: null };
  const mean = await within(
    callObject(async () => objectNamed(env.METER, accountId).usage({ ...asked, ...page })),
    PATIENCE_MS,
  ).then(
    ({ groups }) => meanOf(groups),
    (error: unknown) => {
      log.warn("own_runs_unknown", { account: accountId, reason: reasonOf(error) });
      return null;
    },
  );
  ownRuns.set(key, { mean }, REMEMBERED_MS);
  return mean;
}

type Summed = Pick<UsageGroup, "device" | "requests" | "billed" | "runMs" | "gpuUs" | "units">;

/**
 * A batch shares its device, so that each has less than its time; a run on several devices has a multiple of it. Both
 * times are the pool's word. Time is that of all runs, also of those that were lost; units are of those that came to an
 * end, as nobody tells how many a lost run had made.
 */
function meanOf(groups: readonly Summed[]): OwnRuns | null {
  const total = { requests: 0, billed: 0, runMs: 0, gpuUs: 0 };
  const units: Record<string, number> = {};
  for (const group of groups.filter(({ device }) => device !== NO_DEVICE)) {
    for (const name of ["requests", "billed", "runMs", "gpuUs"] as const) total[name] += group[name];
    for (const [unit, count] of Object.entries(group.units)) units[unit] = (units[unit] ?? 0) + count;
  }
  const { requests, billed, runMs, gpuUs } = total;
  if (billed <= 0) return null;
  const devices = runMs > 0 ? Math.round(gpuUs / (runMs * US_A_MS)) : 1;
  const means = Object.entries(units).map(([unit, count]) => [unit, Math.max(0, count / billed)] as const);
  return {
    // Of runs that began the day before, corrections alone may be left.
    runMs: Math.max(0, runMs / Math.max(requests, billed)),
    devices: Math.min(Math.max(1, devices), MAX_DEVICES),
    units: Object.fromEntries(means),
  };
}
