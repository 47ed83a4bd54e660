/** What all routes share: the context's types, and the calls that they make into the shards. */
import type { Context } from "hono";
import type { Principal } from "../../plugins/kernel/phases.ts";
import type { ClaimRef } from "../contract/channel.ts";
import type { ClaimAnswer, ClaimRequest } from "../contract/claim.ts";
import type { EventsReply } from "../contract/event.ts";
import type { PredictionSnapshot } from "../contract/prediction.ts";
import type { UsageReport, UsageVerdict } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import type { PoolIdentity } from "../fleet/types.ts";
import type { ScalingIdentity } from "../registry/scaling-tokens.ts";
import type { Lease } from "../settings/snapshots.ts";
import type { ListPage, ListRequest } from "../shard/client.ts";
import type { Screened, ScreenedRequest, Submission, SubmitAnswer } from "../shard/types.ts";

/** `settings`: what the request uses since it first asked; released when it is answered. */
export type Variables = {
  requestId: string;
  principal: Principal;
  pool: PoolIdentity;
  provider: ScalingIdentity;
  settings?: Lease;
};
export type App = { Bindings: Env; Variables: Variables };
export type AppContext = Context<App>;

/** The calls into shards that routes make; `src/shard/client.ts` has them. */
export type ShardPort = {
  submit(env: Env, submission: Submission, waitMs: number): Promise<SubmitAnswer>;
  getPrediction(env: Env, id: string, accountId: string, holdMs: number): Promise<PredictionSnapshot | null>;
  /** Holds until the prediction is finished or `waitMs` is over. */
  waitForPrediction(env: Env, id: string, accountId: string, waitMs: number): Promise<PredictionSnapshot | null>;
  cancelPrediction(env: Env, id: string, accountId: string): Promise<PredictionSnapshot | null>;
  /** Removes a finished prediction's data; an unfinished one is answered as it is. */
  removePredictionData(env: Env, id: string, accountId: string): Promise<PredictionSnapshot | null>;
  /** Whether `id`, made of a key of the account's own, was accepted with this payload. */
  isAccepted(env: Env, id: string, accountId: string, payloadHash: string): Promise<boolean>;
  /** `accountId` null for a signed link. */
  hasPrediction(env: Env, id: string, accountId: string | null): Promise<boolean>;
  /**
   * Newline-delimited JSON of `StreamFrame`s; `accountId` null for a signed link. Null when the prediction is unknown.
   */
  openStream(
    env: Env,
    id: string,
    accountId: string | null,
    afterSeq: number,
  ): Promise<ReadableStream<Uint8Array> | null>;
  listPredictions(env: Env, accountId: string, request: ListRequest): Promise<ListPage>;
  claimJobs(env: Env, request: ClaimRequest, scope: { lanes: string[] }): Promise<ClaimAnswer[]>;
  reportUsage(
    env: Env,
    reports: readonly UsageReport[],
    from: { session: string; lanes: string[] },
  ): Promise<UsageVerdict[]>;
  deliverEvents(
    env: Env,
    request: ScreenedRequest,
    scope: Pick<PoolIdentity, "lanes" | "poolTokenId">,
  ): Promise<EventsReply>;
  /** Whose these claims are; without those that are not the latest. `late`: their shard did not say in time. */
  screenedClaims(env: Env, claims: readonly ClaimRef[]): Promise<{ known: Screened[]; late: ClaimRef[] }>;
  /**
   * Whether `token` is the prediction's latest claim and may still read and write its blobs: until when what it stores
   * is kept at most, in milliseconds since the epoch, or null.
   */
  verifyClaim(env: Env, id: string, token: string): Promise<number | null>;
};
