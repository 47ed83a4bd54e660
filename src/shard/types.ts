/** What callers give a shard and get from it, over RPC; and what its parts tell each other. */
import type { Answer } from "../../plugins/kernel/phases.ts";
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import type { CanaryTag } from "../contract/canary.ts";
import type { PoolEvent } from "../contract/event.ts";
import type { Json, ModelRef, PredictionSnapshot, Priority, WebhookEvent } from "../contract/prediction.ts";
import type { Pricing } from "../contract/price.ts";
import type { VerdictRecord } from "../contract/verdict.ts";

/** One prediction to accept. Durations count from acceptance. */
export type Submission = {
  id: string;
  accountId: string;
  model: ModelRef;
  lane: string;
  priority: Priority;
  cost: number;
  /** The account's share of the lane. */
  weight: number;
  /** Inline input, or null when `inputBlob` names its object. */
  input: Json;
  inputBlob: string | null;
  /** SHA-256 over what makes two submissions the same; compared when the id is already there. */
  payloadHash: string;
  startTimeoutMs: number;
  totalTimeoutMs: number;
  /** `Cancel-After`: like the total deadline, but it ends as `canceled` once it ran. */
  cancelAfterMs: number | null;
  /** How long its data stays after its end; null: as long as the shard's rules say. */
  retentionMs: number | null;
  webhook: string | null;
  webhookEvents: WebhookEvent[];
  stream: boolean;
  /** Whether its model yields its output in pieces, as far as is known. */
  iterates: boolean;
  resumesDeterministically: boolean;
  origin: string;
  source: "api" | "web";
  traceparent: string | null;
  replayOf: string | null;
  /** `owner/name` of the deployment that chose the version. */
  deployment: string | null;
  /** How long one run may take by that deployment. */
  runLimitMs?: number | undefined;
  /** What it is billed by; absent: it costs nothing. */
  pricing?: Pricing;
  /** Whether the id was made from the client's own key (`Idempotency-Key`, `PUT`). */
  keyed: boolean;
  /** What plugins set aside for it; given back when it has ended. */
  reservations?: HeldReservation[];
  /** What plugins decided over it. */
  verdicts?: VerdictRecord[];
  /** Set where a plugin asks, and no client. */
  question?: Question;
  /** What a plugin answers it with: it ends as it is accepted, and runs nowhere. */
  answer?: Answer;
  /** Under which its output is, or will be, remembered for others like it. */
  responseKey?: string;
  /** The split that chose its version, if one did. */
  canary?: CanaryTag;
  /** The API key, or another credential, that asks for it. */
  credentialId?: string;
  /** Plugins that came with its version screen what it says. */
  isGuarded?: true;
};

/**
 * A prediction that a plugin asks for, to decide over another one. `guarded` is the account of that other one: its
 * questions wait in its own turn, whoever pays. Nobody can read, list or replay it, no plugin screens it.
 */
export type Question = { plugin: string; guarded: string };

/** `conflict`: the id is there with another payload. */
export type SubmitAnswer =
  | { outcome: "created" | "existing"; prediction: PredictionSnapshot }
  | { outcome: "conflict" }
  /** The account has as many waiting predictions as it may. */
  | { outcome: "full"; limit: number };

/** A prediction's place in its account's list. */
export type Place = { id: string; createdAt: number };

/** A page of an account's list: before (`older`) or after (`newer`) a place, and narrowed; null: not by this. */
export type IndexRequest = {
  direction: "older" | "newer";
  from: Place | null;
  limit: number;
  /** In milliseconds since the epoch; the first is part of the list, the second isn't. */
  createdAfter: number | null;
  createdBefore: number | null;
  model: string | null;
  version: string | null;
  deployment: string | null;
  source: string | null;
};

/** `reached`: the place up to which was looked; `more`: whether there may be more behind it. */
export type IndexPage = { entries: Place[]; more: boolean; reached: Place | null };

/** Claims whose lease is to be judged, by pool session. */
export type LeaseChecks = Map<string, string[]>;

/** A prediction whose retention has ended, with what there may be of it outside its shard. */
export type Expired = {
  id: string;
  accountId: string;
  createdAt: number;
  webhook: string | null;
  hasBlobs: boolean;
  responseKey: string | null;
};

/** An ended prediction whose earlier claims may have left blobs, and its last claim's token, whose blobs stay. */
export type Stray = { id: string; token: string | null };

/**
 * What was due and needs others: leases to ask for, strays to sweep, and predictions whose traces elsewhere go before
 * they are `retire`d.
 */
export type Woken = { checks: LeaseChecks; strays: Stray[]; expired: Expired[]; more: boolean };

/**
 * One thing that an SSE reader sees. `seq` grows within a prediction and is what `Last-Event-ID` names. `blob` is an
 * output that is stored apart, its data the key; `gone` says that what the reader goes on behind, or all of it, is no
 * longer kept.
 */
export type StreamFrame = {
  seq: number;
  type: "start" | "output" | "log" | "metric" | "blob" | "completed" | "gone";
  data: Json;
  /** Of an output: its place among the outputs. */
  index?: number;
};

/** What plugins hold of the streams of a prediction between one piece and the next, by plugin. */
export type HeldStates = { output: Record<string, string>; logs: Record<string, string> };

/** What screening must know of a claim whose events came. */
export type Screened = {
  id: string;
  token: string;
  accountId: string;
  model: ModelRef;
  /** The seq of the first event that the shard has not got, and what plugins held then. */
  nextSeq: number;
  held: HeldStates | null;
  /** A plugin asked for it: nobody reads what its model says but that plugin. */
  isQuestion?: true;
  /** Plugins that came with its version screen what it says. */
  isGuarded?: true;
};

/** An event as screening hands it on. */
export type ScreenedEvent = PoolEvent & {
  /** Nobody screened it: the shard has had it, or misses one before it. If neither, it asks for it again. */
  unscreened?: true;
  /** The plugins that came with its version have screened it. */
  isGuarded?: true;
  /** What plugins hold behind it; null: nothing any more. */
  held?: HeldStates | null;
  /** Of an end: what plugins gave up that they had held back. */
  tail?: { output: Json; logs: string };
  /** What they decided over it. */
  verdicts?: readonly VerdictRecord[];
};

/** Events of a pool's claims as screening hands them on. */
export type ScreenedRequest = { session: string; events: ScreenedEvent[]; heartbeat?: boolean | undefined };
