/** What a pool tells of its instances, on the way to the meter of who is charged: its deployment's owner, or nobody. */
import { modelPath } from "../contract/manifest.ts";
import { MAX_DEVICES } from "../contract/usage.ts";
import type { ModelRef } from "../contract/prediction.ts";
import type { IntervalReport, IntervalsRequest, IntervalUsage } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import type { PoolIdentity } from "../fleet/types.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { chargedDeployments } from "../registry/charged-deployment.ts";
import type { Charged } from "../registry/charged-deployment.ts";
import { OVERHEAD_ACCOUNT } from "./record.ts";
import type { IntervalRecord, NumberedRecord } from "./record.ts";
import type { Batch } from "./take.ts";

/** How many devices it has, and how many all sessions of its token have together, where that is known. */
type Pool = Pick<PoolIdentity, "poolTokenId" | "lanes"> & { devices?: number; tokenDevices?: number | undefined };
/** An interval's length is rounded to milliseconds. */
const ROUNDING_MS = 1;

/** What so many devices can't have had in so long is no interval of theirs. */
export function isWithin({ gpuUs, lengthMs }: IntervalReport, devices: number): boolean {
  return gpuUs <= mostUs(lengthMs, devices);
}

/**
 * Hands them on, numbered as the pool numbers them: a meter takes each once, however often they come. Answers the
 * number after the last. A model that the pool's lanes don't have is named in no record.
 */
export async function takeIntervals(env: Env, request: IntervalsRequest, pool: Pool, now: number): Promise<number> {
  const { session, from, intervals } = request;
  const devices = Math.min(pool.devices ?? MAX_DEVICES, MAX_DEVICES);
  const places = await placesOf(env, intervals, pool);
  // Under the token's name: no pool can take another's numbers, nor a shard's.
  const source = `pool ${pool.poolTokenId} ${session}`;
  const wished = intervals.map((report) => places.get(keyOf(report))?.deployment ?? null);
  const charges = env.CHARGE_INSTANCES === "owner" ? await decide(env, source, from, wished) : [];
  const byAccount = new Map<string, NumberedRecord[]>();
  for (const [index, report] of intervals.entries()) {
    const n = from + index;
    const place = places.get(keyOf(report)) ?? null;
    const charged = charges[index] ?? null;
    const account = charged?.accountId ?? OVERHEAD_ACCOUNT;
    const flags: IntervalRecord["flags"] = isWithin(report, devices) ? [] : ["capped"];
    const gpuUs = Math.min(report.gpuUs, mostUs(report.lengthMs, devices));
    const record = recordOf(atEdge({ ...report, gpuUs }, now), {
      flags,
      id: `${session}.${n}`,
      account,
      charged,
      isKnown: place !== null,
    });
    byAccount.set(account, [...(byAccount.get(account) ?? []), { n, record }]);
  }
  const { poolTokenId: token, tokenDevices } = pool;
  const bound = tokenDevices === undefined ? {} : { rate: { token, devices: tokenDevices } };
  const handed = [...byAccount].map(([account, records]) => hand(env, account, { source, records, ...bound }));
  await Promise.all(handed);
  return from + intervals.length;
}

/** `charge` decides who is charged for what these versions caused, and stores that; null: nobody is. */
export type Rents = {
  readonly waiting: readonly (NumberedRecord & { cause?: string | undefined })[];
  charge(decided: ReadonlyMap<string, Charged | null>): void;
  taken(upTo: number): void;
};

/**
 * Hands on the time of machines that no pool metered. The boot of one that a version with a single deployment caused is
 * that deployment's, as the setting has it. Who is charged never changes, however often it is told.
 */
export async function takeRents(env: Env, source: string, rents: Rents): Promise<void> {
  const last = rents.waiting.at(-1)?.n ?? 0;
  const causes = [...new Set(rents.waiting.flatMap(({ cause }) => cause ?? []))];
  if (causes.length > 0) {
    const known = env.CHARGE_INSTANCES === "owner" ? await chargedDeployments(env.DB, causes.map(versionOf)) : [];
    const only = known.filter(({ deployments }) => deployments === 1);
    const charged = new Map(only.map((one) => [`${modelPath(one)} ${one.version}`, one.deployment]));
    rents.charge(new Map(causes.map((cause) => [cause, charged.get(cause) ?? null])));
  }
  const due = rents.waiting.filter(({ n }) => n <= last);
  const byAccount = Map.groupBy(due, ({ record }) => record.account);
  await Promise.all([...byAccount].map(([account, records]) => hand(env, account, { source, records })));
  rents.taken(last);
}

/** Of `owner/name version`. */
function versionOf(cause: string): ModelRef {
  const [path = "", version = ""] = cause.split(" ");
  const [owner = "", name = ""] = path.split("/");
  return { owner, name, version };
}

type Place = { deployment: Charged | null };

/** Of each version that the pool may run: who has deployed it. */
async function placesOf(env: Env, intervals: readonly IntervalReport[], pool: Pool): Promise<Map<string, Place>> {
  const named = new Map(
    intervals.flatMap((interval) => {
      const { model, version } = interval;
      const [owner = "", name = ""] = (model ?? "").split("/");
      return model === null || version === null ? [] : [[keyOf(interval), { owner, name, version }] as const];
    }),
  );
  const known = await chargedDeployments(env.DB, [...named.values()]);
  return new Map(
    known
      .filter(({ lane }) => lane !== null && pool.lanes.includes(lane))
      .map((one) => [keyOf({ model: modelPath(one), version: one.version }), { deployment: one.deployment }]),
  );
}

function atEdge({ endedMsAgo, lengthMs, ...interval }: IntervalReport, now: number): IntervalUsage {
  const toMs = Math.max(0, now - endedMsAgo);
  return { ...interval, fromMs: Math.max(0, toMs - lengthMs), toMs };
}

type About = { flags: IntervalRecord["flags"]; id: string; account: string; charged: Charged | null; isKnown: boolean };

function recordOf(interval: IntervalUsage, { flags, id, account, charged, isKnown }: About): IntervalRecord {
  const { model, version } = interval;
  return {
    ...{ v: 2, kind: "instance.interval", ...interval, id, at: interval.toMs, account, flags },
    ...{ model: isKnown ? model : null, version: isKnown ? version : null },
    deployment: charged === null ? null : charged.deployment,
  };
}

function mostUs(lengthMs: number, devices: number): number {
  return (lengthMs + ROUNDING_MS) * 1000 * devices;
}

async function hand(env: Env, account: string, batch: Batch): Promise<void> {
  await callObject(async () => {
    const stub: unknown = objectNamed(env.METER, account);
    await (stub as RemoteMeter).take(account, batch);
  });
}

/**
 * Who is charged for what a session tells from number `from` on. Each account's meter knows its own numbers alone: what
 * comes again counts where it counted first, though a deployment was made or removed in between.
 */
async function decide(env: Env, source: string, from: number, wished: (Charged | null)[]): Promise<(Charged | null)[]> {
  return callObject(async () => {
    const stub: unknown = objectNamed(env.METER, OVERHEAD_ACCOUNT);
    return (stub as RemoteMeter).decide(source, from, wished);
  });
}

function keyOf({ model, version }: Pick<IntervalReport, "model" | "version">): string {
  return `${model ?? ""} ${version ?? ""}`;
}

/** A meter as its callers see it; the platform's own stub type walks through every type of the signatures. */
type RemoteMeter = {
  take(account: string, batch: Batch): Promise<void>;
  decide(source: string, first: number, wished: (Charged | null)[]): Promise<(Charged | null)[]>;
};
