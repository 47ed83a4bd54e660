/** What there is of predictions outside their shard: blobs, webhook messages, entries of the account's index. */
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import { responseService } from "../responses/service.ts";
import { deletePredictionBlobs, deleteStrayOutputs } from "../storage/blobs.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { forgetWebhooks } from "../webhooks/client.ts";
import type { Expired, Stray } from "./types.ts";
import { within } from "./within.ts";

/** Deletions at a time: the platform gives a context six connections. */
const MAX_CALLS = 4;
/**
 * For all of one call. What is not done by then is tried again another time: a shard's alarm has more to do than to
 * wait for a bucket.
 */
const PATIENCE_MS = 10_000;

/**
 * Removes all traces of predictions whose retention has ended; returns the ids of those that have none any more.
 * Webhooks that a receiver hasn't taken yet are still tried; their bodies go with their end.
 */
export async function removeTraces(env: Env, expired: readonly Expired[]): Promise<Set<string>> {
  const gone = new Set(expired.map(({ id }) => id));
  const inTime = patience();
  const attempt = async (part: readonly Expired[], remove: () => Promise<void>): Promise<void> => {
    try {
      await inTime(remove);
    } catch (thrown) {
      log.warn("retention_deferred", { predictions: part.length, reason: reasonOf(thrown) });
      for (const { id } of part) gone.delete(id);
    }
  };
  const calls = [
    ...groups(
      expired.filter(({ webhook }) => webhook !== null),
      ({ webhook }) => webhook,
    ).map(
      ([webhook, part]) =>
        () =>
          attempt(part, () => forgetWebhooks(env, webhook ?? "", idsOf(part), "keep")),
    ),
    ...groups(expired, ({ accountId }) => accountId).map(
      ([accountId, part]) =>
        () =>
          attempt(part, async () => {
            await objectNamed(env.INDEX, accountId).remove(part.map(({ id, createdAt }) => ({ id, createdAt })));
          }),
    ),
    ...expired
      .filter(({ hasBlobs }) => hasBlobs)
      .map((one) => () => attempt([one], () => deletePredictionBlobs(env, one.id))),
  ];
  for (let start = 0; start < calls.length; start += MAX_CALLS) {
    await Promise.all(calls.slice(start, start + MAX_CALLS).map((call) => call()));
  }
  return gone;
}

/** Removes what the earlier claims of ended predictions stored; returns the ids of those for which that is done. */
export async function removeStrays(env: Env, strays: readonly Stray[]): Promise<Set<string>> {
  const inTime = patience();
  const swept = new Set<string>();
  for (const { id, token } of strays) {
    try {
      await inTime(() => deleteStrayOutputs(env, id, token));
      swept.add(id);
    } catch (thrown) {
      log.warn("stray_outputs_deferred", { predictions: 1, reason: reasonOf(thrown) });
    }
  }
  return swept;
}

/**
 * Runs what it is given as long as its time lasts, which begins now: what comes when it is over is refused untried.
 */
function patience(): (run: () => Promise<void>) => Promise<void> {
  const endsAt = Date.now() + PATIENCE_MS;
  return async (run) => {
    const leftMs = endsAt - Date.now();
    if (leftMs <= 0) throw new Error("what came before took too long");
    await within(run(), leftMs);
  };
}

/**
 * Removes the data of one prediction, on request: its blobs, its webhooks, those under way too, and what is remembered
 * for others like it. Its record stays in lists. Throws when one of these fails or hangs; the others are removed.
 */
export async function removeDataTraces(
  env: Env,
  { id, accountId, webhook, hasBlobs, responseKey }: Expired,
): Promise<void> {
  const inTime = patience();
  const removals: (() => Promise<void>)[] = [];
  if (hasBlobs) removals.push(() => deletePredictionBlobs(env, id));
  if (webhook !== null) removals.push(() => forgetWebhooks(env, webhook, [id], "drop"));
  if (responseKey !== null) removals.push(() => responseService(env).forget(accountId, responseKey));
  await Promise.all(removals.map(inTime));
}

function idsOf(predictions: readonly Expired[]): string[] {
  return predictions.map(({ id }) => id);
}

function groups<T, K>(items: readonly T[], keyOf: (item: T) => K): [K, T[]][] {
  return [...Map.groupBy(items, keyOf)];
}
