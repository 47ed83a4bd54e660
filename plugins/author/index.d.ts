/**
 * What an uploaded plugin is written against. It stands alone, so that a plugin needs nothing else of Edgeplane; a test
 * of the project holds it against the kernel's own types.
 *
 * A plugin is one ES module whose default export has `setup`:
 *
 *     import type { Plugin } from "edgeplane-plugin";
 *
 *     export default {
 *       setup: ({ config }) => ({
 *         admit: (call) => (call.cost > config.most ? reject : { verdict: "continue" }),
 *       }),
 *     } satisfies Plugin<{ most: number }>;
 */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type Priority = "high" | "normal" | "low";
export type ModelRef = { owner: string; name: string; version: string };

/** Who calls. */
export type Principal = {
  accountId: string;
  accountName: string;
  /** How long its data is kept after its end. */
  retentionMs: number;
  /** Its share of a lane beside other accounts', 0.01 to 1000. */
  weight: number;
  /** Of the API key. */
  credentialId: string;
  scopes: readonly string[];
  maxPriority: Priority;
};

/** A call, as `authenticate` sees it. `header` and `headers` know all of its headers, by name in lower case. */
export type Call = {
  requestId: string;
  method: string;
  path: string;
  clientIp: string | null;
  header(name: string): string | undefined;
  headers: { [name: string]: string };
  principal: Principal | null;
};

/** A prediction that is about to be accepted. Durations count from acceptance. */
export type PredictionCall = {
  requestId: string;
  predictionId: string;
  principal: Principal;
  clientIp: string | null;
  model: ModelRef;
  lane: string;
  priority: Priority;
  cost: number;
  /** All of it; files are URLs or data URIs in it. */
  input: { [key: string]: Json };
  inputBytes: number;
  startTimeoutMs: number;
  totalTimeoutMs: number;
  /** How long one run may take, where its deployment says so. */
  runLimitMs?: number;
  /** What it should cost, in 10^-9 of a currency; absent: nothing. */
  pricing?: { price: { id: string; currency: string }; expectedNano: number };
  /** Its model says that the same input always has the same output. */
  deterministic: boolean;
};

/**
 * A piece of what a model says, before anybody reads it. A `chunk` is the next one of a stream, which ends with an
 * `end`; `whole` is all of it at once, and comes at the end of a stream too.
 */
export type OutputPart = {
  predictionId: string;
  accountId: string;
  model: ModelRef;
  of: "output" | "logs" | "error";
  part: "chunk" | "end" | "whole";
  output: Json;
  /** What this plugin returned as `held` with the chunk before; null at the first. */
  held: string | null;
};

/** How an attempt ended. */
export type Ending = {
  predictionId: string;
  accountId: string;
  model: ModelRef;
  outcome: "succeeded" | "failed";
  errorCode: string | null;
  metrics: { [key: string]: Json };
};

/** What was found, for the prediction's record: never the text itself. */
export type Finding = { category: string; rule: string };

/** `code` is one of docs/errors.md with a status of 4xx or 503, such as `rejected_by_policy`. */
export type Refusal = { code: string; message: string; retryAfterMs?: number; findings?: Finding[] };

/**
 * `shadow` lets the subject through and records that it would have been refused. `headers` begin with `x-` and are laid
 * over those of the answer. `Change` is what a hook of the phase may change; `held` of an output comes back with its
 * next chunk.
 */
export type Verdict<Change = never> =
  | {
      verdict: "continue";
      headers?: { [name: string]: string };
      findings?: Finding[];
      subject?: Change;
      held?: string | null;
    }
  | ({ verdict: "reject"; headers?: { [name: string]: string } } & Refusal)
  | ({ verdict: "shadow" } & Refusal);

type Answer<Change = never> = Verdict<Change> | Promise<Verdict<Change>>;
type CallChange = Partial<
  Pick<PredictionCall, "input" | "priority" | "lane" | "cost" | "startTimeoutMs" | "totalTimeoutMs">
>;

/** One hook for each phase that the manifest names. */
export type Hooks = {
  authenticate?(call: Call): Answer<{ principal: Principal }>;
  admit?(call: PredictionCall): Answer<CallChange>;
  screenInput?(call: PredictionCall): Answer<CallChange>;
  /** `model.version`: another version of the same model, by its 64 hexadecimal digits. */
  route?(call: PredictionCall): Answer<CallChange & { model?: { version: string } }>;
  screenOutput?(part: OutputPart): Answer<{ output: Json }>;
  onResult?(ending: Ending): Answer;
};

/** `setup` runs once for each settings that hold; its isolate has no network but the hosts that were granted. */
export type Plugin<Config = { [key: string]: Json }> = {
  setup(context: { config: Config }): Hooks | Promise<Hooks>;
};

/** What a plugin that comes with a pushed model sees of a prediction: nothing of who asks, or how. */
export type ModelCall = Pick<PredictionCall, "predictionId" | "model" | "input" | "inputBytes">;
export type ModelOutputPart = Omit<OutputPart, "accountId">;

/** It refuses with `rejected_by_policy` alone, and sets no headers. */
type ModelAnswer<Change> =
  | { verdict: "continue"; findings?: Finding[]; subject?: Change; held?: string | null }
  | { verdict: "reject" | "shadow"; code: "rejected_by_policy"; message: string; findings?: Finding[] };

export type ModelHooks = {
  screenInput?(
    call: ModelCall,
  ): ModelAnswer<{ input: ModelCall["input"] }> | Promise<ModelAnswer<{ input: ModelCall["input"] }>>;
  screenOutput?(part: ModelOutputPart): ModelAnswer<{ output: Json }> | Promise<ModelAnswer<{ output: Json }>>;
};

/** A plugin in `plugins/<name>/` of a pushed model. `config` is its `config.json`. */
export type ModelPlugin<Config = { [key: string]: Json }> = {
  setup(context: { config: Config }): ModelHooks | Promise<ModelHooks>;
};
