/** How the rest of the edge reaches shards: by prediction id, and several at once. */
import type { ClaimRef } from "../contract/channel.ts";
import type { ClaimAnswer, ClaimRequest } from "../contract/claim.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { EventsReply, PoolEvent } from "../contract/event.ts";
import { isPredictionId, shardName, shardOf } from "../contract/ids.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import type { PredictionSnapshot, Status } from "../contract/prediction.ts";
import type { UsageReport, UsageVerdict } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import type { PoolIdentity } from "../fleet/types.ts";
import { knownEpoch } from "../log/current-log.ts";
import { callObject, isPassing, objectNamed } from "../object-calls.ts";
import { createHolds } from "./hold.ts";
import { remoteShard } from "./remote.ts";
import { fitting } from "./sizes.ts";
import type { IndexPage, IndexRequest, Screened, ScreenedRequest, SubmitAnswer, Submission } from "./types.ts";
import { within } from "./within.ts";

/**
 * A call to many shards waits so long for each and answers `later` for those that are slower. A call that brings events
 * waits as long for its session.
 */
const SHARD_PATIENCE_MS = 1000;
/** A list waits so long for each of its shards. */
const LIST_PATIENCE_MS = 10_000;
/**
 * Predictions that one call answers: with the longest logs and inline outputs they stay below the 32 MiB that it may
 * carry.
 */
const MANY = 25;
/** Pages of the index that one page of a list narrowed by status looks through. */
const MAX_INDEX_PAGES = 5;

const held = createHolds(() => Date.now());
/** How long a submission is company for others: what is held for longer was stored before. */
const COMPANY_MS = 1000;
/**
 * Submissions of this isolate that have no answer yet, the oldest first. When a client leaves, the runtime ends its
 * call and nothing removes its entry: entries are dropped by their age.
 */
const underWay = new Set<{ readonly sinceMs: number }>();

/**
 * Accepts a prediction. With `waitMs` the answer comes when it is finished or that time is over; a shard that is reset
 * meanwhile is asked again, so that the wait survives it.
 */
export async function submit(env: Env, submission: Submission, waitMs: number): Promise<SubmitAnswer> {
  const until = Date.now() + waitMs;
  const own = { sinceMs: Date.now() };
  for (const one of underWay) {
    if (one.sinceMs > own.sinceMs - COMPANY_MS) break;
    underWay.delete(one);
  }
  underWay.add(own);
  const isLone = underWay.size === 1;
  try {
    return await callObject(() =>
      stubOf(env, submission.id).submit(submission, Math.max(0, until - Date.now()), isLone),
    );
  } finally {
    underWay.delete(own);
  }
}

/**
 * The prediction, or null when it isn't there or isn't the account's. With `holdMs`, an unfinished one may be held that
 * long for a change, or twice that under load.
 */
export async function getPrediction(
  env: Env,
  id: string,
  accountId: string,
  holdMs: number,
): Promise<PredictionSnapshot | null> {
  if (!isPredictionId(id, shardCount(env))) return null;
  return callObject(() => held(holdMs, (hold) => stubOf(env, id).get(id, accountId, hold)));
}

/** Whether the account's own key, of which `id` is made, stands for this payload. */
export async function isAccepted(env: Env, id: string, accountId: string, payloadHash: string): Promise<boolean> {
  return callObject(() => stubOf(env, id).isAccepted(id, accountId, payloadHash));
}

/** Whether there is such a prediction; `accountId` null: the caller has checked a signed link instead. */
export async function hasPrediction(env: Env, id: string, accountId: string | null): Promise<boolean> {
  return isPredictionId(id, shardCount(env)) && callObject(() => stubOf(env, id).has(id, accountId));
}

/**
 * Holds until the prediction is finished or `waitMs` is over; not at all when too many of the account's requests are
 * held. `accountId` null: the gateway itself asks.
 */
export async function waitForPrediction(
  env: Env,
  id: string,
  accountId: string | null,
  waitMs: number,
): Promise<PredictionSnapshot | null> {
  if (!isPredictionId(id, shardCount(env))) return null;
  const until = Date.now() + waitMs;
  return callObject(() => stubOf(env, id).wait(id, accountId, Math.max(0, until - Date.now())));
}

/** Those of `ids` that the account has, in their order. Throws `unavailable` when a shard does not answer. */
export async function getMany(env: Env, ids: readonly string[], accountId: string): Promise<PredictionSnapshot[]> {
  const parts = await Promise.all(
    [...byShard(ids, (id) => id)].flatMap(([name, part]) =>
      Array.from({ length: Math.ceil(part.length / MANY) }, (_, index) => {
        const some = part.slice(index * MANY, (index + 1) * MANY);
        const shown = callObject(() => remoteShard(env, name).many(some, accountId));
        return within(shown, LIST_PATIENCE_MS).catch((cause: unknown) => {
          if (isPassing(cause)) throw cause;
          throw new EdgeplaneError("unavailable", "Some of these predictions can't be read now.", { cause });
        });
      }),
    ),
  );
  const found = new Map(parts.flat().map((prediction) => [prediction.id, prediction]));
  return ids.flatMap((id) => found.get(id) ?? []);
}

/** Cancels; null when the prediction isn't there or isn't the account's. Canceling twice is canceling once. */
export async function cancelPrediction(env: Env, id: string, accountId: string): Promise<PredictionSnapshot | null> {
  if (!isPredictionId(id, shardCount(env))) return null;
  return callObject(() => stubOf(env, id).cancel(id, accountId));
}

/**
 * Removes the data of a finished prediction: input, output, logs, files, bodies of webhooks. An unfinished one stays,
 * and is answered as it is; null when the prediction isn't there or isn't the account's. Throws `unavailable` when some
 * of it could not be removed.
 */
export async function removePredictionData(
  env: Env,
  id: string,
  accountId: string,
): Promise<PredictionSnapshot | null> {
  if (!isPredictionId(id, shardCount(env))) return null;
  return callObject(() => stubOf(env, id).removeData(id, accountId)).catch((cause: unknown) => {
    if (isPassing(cause)) throw cause;
    const detail = "Some of the prediction's data can't be removed now; the same request removes the rest.";
    throw new EdgeplaneError("unavailable", detail, { cause });
  });
}

/**
 * The prediction's frames as newline-delimited JSON (StreamFrame), from the one after `afterSeq` (-1: from the first),
 * until `completed` or until the reader has to ask again behind the last one that it got. `accountId` null: the caller
 * has checked a signed link instead. Null when the prediction isn't there. Throws `too_many_streams`, or `unavailable`
 * when all accounts together have too many.
 */
export async function openStream(
  env: Env,
  id: string,
  accountId: string | null,
  afterSeq: number,
): Promise<ReadableStream<Uint8Array> | null> {
  if (!isPredictionId(id, shardCount(env))) return null;
  const stream = await callObject(() => stubOf(env, id).stream(id, accountId, afterSeq));
  if (stream === "own") {
    const most = numericVar(env, "ACCOUNT_STREAMS");
    const detail = `The account has ${most} streams open beside this one, or some that nobody reads and that hold what it may have in memory.`;
    throw new EdgeplaneError("too_many_streams", detail);
  }
  if (stream === "all") throw new EdgeplaneError("unavailable", "Here are as many streams open as there may be.");
  return stream;
}

export type ListRequest = IndexRequest & { status: Status | null };
export type ListPage = IndexPage & { predictions: PredictionSnapshot[] };

/**
 * A page of the account's predictions, newest first. Their statuses stand in the shards, so that one narrowed by status
 * looks through some pages of the index: it may come back short, or empty, with `more` behind what it `reached`.
 */
export async function listPredictions(env: Env, accountId: string, request: ListRequest): Promise<ListPage> {
  const { status, ...wanted } = request;
  const list: ListPage = { entries: [], predictions: [], more: true, reached: request.from };
  const older = request.direction === "older";
  for (let pages = 0; pages < MAX_INDEX_PAGES && list.more && list.entries.length < request.limit; pages += 1) {
    const ask = { ...wanted, from: list.reached, limit: request.limit - list.entries.length };
    const page = await callObject(() => objectNamed(env.INDEX, accountId).page(ask));
    const found = await getMany(
      env,
      page.entries.map(({ id }) => id),
      accountId,
    );
    const predictions = found.filter((prediction) => status === null || prediction.status === status);
    const ids = new Set(predictions.map(({ id }) => id));
    const entries = status === null ? page.entries : page.entries.filter(({ id }) => ids.has(id));
    list.predictions = older ? [...list.predictions, ...predictions] : [...predictions, ...list.predictions];
    list.entries = older ? [...list.entries, ...entries] : [...entries, ...list.entries];
    list.more = page.more;
    list.reached = page.reached ?? list.reached;
    if (status === null) break;
  }
  return list;
}

/** Claims jobs on a pool's behalf; answers come in the order of the jobs. */
export async function claimJobs(env: Env, request: ClaimRequest, scope: { lanes: string[] }): Promise<ClaimAnswer[]> {
  const isOld = olderThan(knownEpoch());
  const shards = shardCount(env);
  const known = request.jobs.filter((job) => isPredictionId(job.id, shards) && !isOld(job));
  const answers = new Map<string, ClaimAnswer>();
  await Promise.all(
    [...byShard(known, (job) => job.id)].map(async ([name, jobs]) => {
      const claims = remoteShard(env, name).claim({ session: request.session, jobs }, scope.lanes);
      for (const answer of (await inTime(claims)) ?? []) answers.set(answer.id, answer);
    }),
  );
  return request.jobs.map((job) => {
    const { id } = job;
    if (!isPredictionId(id, shards)) return { id, verdict: "refused", reason: "unknown" };
    if (isOld(job)) return { id, verdict: "refused", reason: "old_epoch" };
    return answers.get(id) ?? { id, verdict: "later" };
  });
}

/**
 * Jobs of the log before are granted while they wait, as they came first; copies that are older were handed on again
 * long ago, and are refused without asking their shards.
 */
function olderThan(epoch: number | null): (job: { epoch?: number | undefined }) => boolean {
  return (job) => epoch !== null && job.epoch !== undefined && job.epoch < epoch - 1;
}

/**
 * Delivers a pool's events to their shards; what a shard doesn't answer in time is answered `later`. Without events, or
 * with `heartbeat`, it holds the lease of a pool whose control channel is down: without events it throws `forbidden`
 * when the session that it names is another token's.
 */
export async function deliverEvents(
  env: Env,
  request: ScreenedRequest,
  scope: Pick<PoolIdentity, "lanes" | "poolTokenId">,
): Promise<EventsReply> {
  const reply: EventsReply = { verdicts: [], cancel: [] };
  if (request.events.length === 0 || request.heartbeat === true) await holdLease(env, request, scope.poolTokenId);
  const shards = shardCount(env);
  const known = request.events.filter(({ id }) => isPredictionId(id, shards)).map(fitting);
  await Promise.all(
    [...byShard(known, (event) => event.id)].map(async ([name, events]) => {
      const part = await inTime(remoteShard(env, name).deliver(events, request.session, scope.lanes));
      if (part === null)
        reply.verdicts.push(...claimsOf(events).map((claim) => ({ ...claim, verdict: "later" as const })));
      else {
        reply.verdicts.push(...part.verdicts);
        reply.cancel.push(...part.cancel);
      }
    }),
  );
  const unknown = request.events.filter(({ id }) => !isPredictionId(id, shards));
  reply.verdicts.push(...claimsOf(unknown).map((claim) => ({ ...claim, verdict: "stale" as const })));
  return reply;
}

/**
 * Hands what attempts took to their shards; what a shard doesn't answer in time is to be told again `later`. What is of
 * no prediction is nobody's.
 */
export async function reportUsage(
  env: Env,
  reports: readonly UsageReport[],
  { session, lanes }: { session: string; lanes: string[] },
): Promise<UsageVerdict[]> {
  const isKnown = ({ id }: UsageReport): boolean => isPredictionId(id, shardCount(env));
  const verdictOf = ({ token, attempt }: UsageReport, verdict: UsageVerdict["verdict"]) => ({
    token,
    attempt,
    verdict,
  });
  const parts = await Promise.all(
    [...byShard(reports.filter(isKnown), ({ id }) => id)].map(async ([name, part]) => {
      const reply = await inTime(remoteShard(env, name).deliver([], session, lanes, part));
      return reply?.usage ?? part.map((report) => verdictOf(report, "later"));
    }),
  );
  const nobodys = reports.filter((report) => !isKnown(report));
  return [...parts.flat(), ...nobodys.map((report) => verdictOf(report, "ok"))];
}

/**
 * What screening must know of these claims, and those whose shard did not say in time. Left out are claims that are
 * not the latest of their prediction: their events change nothing.
 */
export async function screenedClaims(
  env: Env,
  claims: readonly ClaimRef[],
): Promise<{ known: Screened[]; late: ClaimRef[] }> {
  const shards = shardCount(env);
  const possible = claims.filter(({ id }) => isPredictionId(id, shards));
  const parts = await Promise.all(
    [...byShard(possible, ({ id }) => id)].map(async ([name, part]) => {
      const known = await inTime(remoteShard(env, name).screened(part));
      return known === null ? { known: [], late: part } : { known, late: [] };
    }),
  );
  return { known: parts.flatMap(({ known }) => known), late: parts.flatMap(({ late }) => late) };
}

async function holdLease(env: Env, { session, events }: ScreenedRequest, poolTokenId: string): Promise<void> {
  const isHeld = objectNamed(env.POOL, session).touch(poolTokenId);
  // Events stand for themselves: each carries its claim's token.
  if (events.length > 0) await within(isHeld, SHARD_PATIENCE_MS).catch(() => false);
  else if (!(await isHeld)) throw new EdgeplaneError("forbidden", "This session belongs to another pool token.");
}

/**
 * Until when what the live claim `token` of `id` stores is kept at most, in milliseconds since the epoch; null when it
 * isn't live.
 */
export async function verifyClaim(env: Env, id: string, token: string): Promise<number | null> {
  if (!isPredictionId(id, shardCount(env))) return null;
  return callObject(() => stubOf(env, id).claimKeptUntil(id, token));
}

export function shardCount(env: Env): number {
  return numericVar(env, "SHARD_COUNT");
}

function stubOf(env: Env, id: string) {
  return remoteShard(env, shardName(shardOf(id)));
}

function byShard<T>(items: readonly T[], idOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = shardName(shardOf(idOf(item)));
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return groups;
}

function claimsOf(events: readonly PoolEvent[]): { id: string; token: string }[] {
  const claims = new Map(events.map(({ id, token }) => [`${id} ${token}`, { id, token }]));
  return [...claims.values()];
}

/** The value, or null when it fails or takes longer than a shard may. */
async function inTime<T>(promise: Promise<T>): Promise<T | null> {
  return within(promise, SHARD_PATIENCE_MS).catch(() => null);
}
