/**
 * What models say on its way to the shard: each piece passes `screenOutput` first; `onResult` is told how attempts
 * ended. Claims are independent of each other: what a guard takes over one holds up no other.
 */
import type { ClaimRef } from "../../contract/channel.ts";
import { saysSomething } from "../../contract/event.ts";
import type { EventsReply, EventVerdict, PoolEvent } from "../../contract/event.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { modelPath } from "../../contract/manifest.ts";
import type { Hooks, Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { hasHooks, runPhase } from "../../pipeline/run-phase.ts";
import type { Screened, ScreenedEvent } from "../../shard/types.ts";
import { outputBlobPrefix } from "../../storage/blobs.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import { screenClaim } from "./screen-claim.ts";
import type { ClaimScreening, LargeOutputs } from "./screen-claim.ts";
import type { Screenings } from "./screenings.ts";

/** What a request with events waits for screening; what is late is answered `later`. */
export const PATIENCE_MS = 1000;
/**
 * The same where a plugin asks models: the answer may have to come from the pool that waits here, which has one request
 * on its way at a time.
 */
const PATIENCE_FOR_MODELS_MS = 30;
/** What is screened in no time is stored at once, together. */
const FIRST_MS = 10;

/** Claims as their shards know them. */
export type Claims = { known: readonly Screened[]; late: readonly ClaimRef[] };

export type ScreeningDeps = {
  snapshot: Snapshot;
  screenings: Screenings;
  large: LargeOutputs;
  /** The operator's hooks with those of the plugins that came with a guarded claim's version, which run before them. */
  withGuards(hooks: Hooks, claim: Screened): Promise<Hooks>;
  deliver(events: ScreenedEvent[]): Promise<EventsReply>;
  /** Told of what goes on behind the request, with the snapshot. */
  behind(work: Promise<unknown>): void;
};

/** Throws `forbidden` for an event that names a blob of another claim. */
export function checkBlobs(events: readonly PoolEvent[]): void {
  for (const event of events) {
    if (event.type !== "succeeded" || event.outputBlob === undefined) continue;
    if (event.outputBlob.startsWith(outputBlobPrefix(event.id, event.token))) continue;
    throw new EdgeplaneError("forbidden", `The output of ${event.id} names a blob that its claim did not make.`);
  }
}

/** Whether any plugin wants to know of events. */
export function isScreened(snapshot: Snapshot): boolean {
  return snapshot.phases.has("screenOutput") || snapshot.phases.has("onResult");
}

/** Those of claims of which nothing came that a model says: nobody has to look at them. */
export function silent(events: readonly PoolEvent[]): PoolEvent[] {
  const spoken = new Set(events.filter(saysSomething).map(keyOf));
  return events.filter((event) => !spoken.has(keyOf(event)));
}

/** Each claim of `events` once. */
export function claimsOf(events: readonly ClaimRef[]): ClaimRef[] {
  return [...new Map(events.map(({ id, token }) => [keyOf({ id, token }), { id, token }])).values()];
}

/**
 * Screens a batch of events and delivers each claim's when they are screened. An output that a plugin refuses, or can't
 * decide over, becomes the failure of its prediction. Events of claims that are not the latest are left out, and
 * `stale`; those of claims whose shard or whose screening is late are to come again `later`. `unseen` are delivered as
 * they are.
 */
export async function deliverScreened(
  events: readonly PoolEvent[],
  unseen: readonly PoolEvent[],
  claims: Claims,
  deps: ScreeningDeps,
): Promise<EventsReply> {
  const { snapshot, screenings, deliver, behind } = deps;
  const byClaim = Map.groupBy(events, keyOf);
  const limit = sleep(snapshot.asksModels ? PATIENCE_FOR_MODELS_MS : PATIENCE_MS);
  const late: ClaimRef[] = [...claims.late];
  const ready: ScreenedEvent[] = [...unseen];
  const deliveries: Promise<EventsReply>[] = [];
  const send = () => {
    if (ready.length > 0) deliveries.push(deliver(ready.splice(0)));
  };

  let isFirst = true;
  const all = claims.known.map(async (claim) => {
    const own = byClaim.get(keyOf(claim)) ?? [];
    const steps = { ...stepsOf(deps, claim, own), behind };
    const screening = await screenings.of(claim.token, claim.nextSeq, limit, steps);
    if (screening === null) late.push(claim);
    else ready.push(...screening.events);
    if (!isFirst) send();
  });
  await Promise.race([Promise.all(all), sleep(FIRST_MS)]);
  isFirst = false;
  send();
  await Promise.all(all);

  const known = new Set([...claims.known, ...claims.late].map(keyOf));
  const stale = claimsOf(events).filter((claim) => !known.has(keyOf(claim)));
  const replies = await Promise.all(deliveries);
  return {
    verdicts: [
      ...replies.flatMap(({ verdicts }) => verdicts),
      ...late.map((claim) => verdictOf(claim, "later")),
      ...stale.map((claim) => verdictOf(claim, "stale")),
    ],
    cancel: replies.flatMap(({ cancel }) => cancel),
  };
}

type StepsDeps = Pick<ScreeningDeps, "snapshot" | "large" | "withGuards">;

function stepsOf({ snapshot, large, withGuards }: StepsDeps, claim: Screened, events: readonly PoolEvent[]) {
  const { nextSeq, held } = claim;
  const screen = async (some: readonly PoolEvent[], standing: ClaimScreening["standing"]): Promise<ClaimScreening> => {
    if (claim.isQuestion === true) return { events: [...some], standing };
    const hooks = await snapshot.of(claim.accountId, modelPath(claim.model));
    if (claim.isGuarded === true) {
      const guarded = await screenClaim(await withGuards(hooks, claim), claim, some, standing, large);
      return { ...guarded, events: guarded.events.map((event) => ({ ...event, isGuarded: true })) };
    }
    if (!hasHooks(hooks, "screenOutput")) return { events: [...some], standing };
    return screenClaim(hooks, claim, some, standing, large);
  };
  const begin = () => screen(events, { nextSeq, held, isOver: false });
  return {
    begin,
    async goOn(before: ClaimScreening): Promise<ClaimScreening> {
      const end = events.at(-1)?.seq ?? -1;
      // A pool may have put a failure in the place of what it had sent.
      if (end + 1 < before.standing.nextSeq) return begin();
      const rest = events.filter(({ seq }) => seq >= before.standing.nextSeq);
      const more = await screen(rest, before.standing);
      return { events: [...before.events, ...more.events], standing: more.standing };
    },
  };
}

/** Runs `onResult` for the endings that their shard has stored, as they were screened. Never throws. */
export async function noticeEndings(
  snapshot: Snapshot,
  events: readonly ScreenedEvent[],
  claims: readonly Screened[],
  reply: EventsReply,
): Promise<void> {
  if (!snapshot.phases.has("onResult")) return;
  const stored = new Set(reply.verdicts.filter((one) => one.verdict === "ok").map(keyOf));
  const known = new Map(claims.map((claim) => [keyOf(claim), claim]));
  const ends = events.map(async (event) => {
    if (event.type !== "succeeded" && event.type !== "failed") return;
    const claim = known.get(keyOf(event));
    if (claim === undefined || claim.isQuestion === true || event.unscreened === true || !stored.has(keyOf(event)))
      return;
    try {
      await notice(snapshot, event, claim);
    } catch (error) {
      log.warn("result_not_noticed", { reason: reasonOf(error) });
    }
  });
  await Promise.all(ends);
}

async function notice(
  snapshot: Snapshot,
  event: Extract<PoolEvent, { type: "succeeded" | "failed" }>,
  { accountId, model }: Screened,
): Promise<void> {
  await runPhase(await snapshot.of(accountId, modelPath(model)), "onResult", {
    predictionId: event.id,
    accountId,
    model,
    outcome: event.type,
    errorCode: event.type === "failed" ? event.error.code : null,
    metrics: event.metrics ?? {},
  });
}

function verdictOf({ id, token }: ClaimRef, verdict: "later" | "stale"): EventVerdict {
  return { id, token, verdict };
}

function keyOf({ id, token }: ClaimRef): string {
  return `${id} ${token}`;
}

function sleep(ms: number): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), ms));
}
