/**
 * What a prediction should cost, before it is accepted: by how long runs of its version take lately, which its lane
 * knows, on the dearest of the devices that have a price. What the model will record in units nobody knows before.
 */
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import type { Price } from "../contract/price.ts";
import type { ModelRef, Priority } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { costOfRun, dearestRate } from "./price.ts";

/** A version that nobody ran yet is taken to run so long. */
const UNKNOWN_RUN_MS = 1000;
const REMEMBERED_MS = 10_000;
const MAX_REMEMBERED = 5000;
/** Acceptance doesn't depend on the lane. */
const PATIENCE_MS = 500;

/** Whose lane is asked, and where. */
export type Expecting = { accountId: string; lane: string; priority: Priority; model: ModelRef };

const remembered = createTtlCache<number>(MAX_REMEMBERED);

/** In nano-units. Never throws. */
export async function expectedCost(env: Pick<Env, "LANE">, price: Price, one: Expecting): Promise<number> {
  // Where time is free, no lane need be asked.
  const runMs = dearestRate(price) === 0 ? 0 : await runMsOf(env, one);
  return costOfRun(price, runMs);
}

async function runMsOf(env: Pick<Env, "LANE">, { accountId, lane, priority, model }: Expecting): Promise<number> {
  const { owner, name, version } = model;
  const key = `${lane} ${owner}/${name} ${version}`;
  const known = remembered.get(key);
  if (known !== undefined) return known;
  const ref = { account: accountId, priority, model: `${owner}/${name}`, version };
  const runMs = await within(
    callObject(async () => objectNamed(env.LANE, lane).outlook(ref)),
    PATIENCE_MS,
  ).then(
    (outlook) => outlook.runMs ?? UNKNOWN_RUN_MS,
    (error: unknown) => {
      log.warn("run_time_unknown", { lane, reason: reasonOf(error) });
      return UNKNOWN_RUN_MS;
    },
  );
  remembered.set(key, runMs, REMEMBERED_MS);
  return runMs;
}
