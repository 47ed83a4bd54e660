/**
 * One granted prediction while the pool holds it, and the port through which the runtime reports of it.
 *
 *   preparing (its input comes) → queued → running → ended
 *   queued → sent (its batch waits in the process behind another) → running
 *   running → queued again, when the batch it was in is halved; sent → queued again, when its process died
 */
import type { ClaimRef } from "../../src/contract/channel.ts";
import type { Grant } from "../../src/contract/claim.ts";
import type { releaseReasons } from "../../src/contract/event.ts";
import type { Json } from "../../src/contract/prediction.ts";

export type ReleaseReason = (typeof releaseReasons)[number];

export type Prediction = {
  readonly ref: ClaimRef;
  readonly grant: Grant;
  /** Monotonic deadlines, in milliseconds. */
  readonly startByMs: number;
  readonly endByMs: number;
  /** When the time is up that its model gives one run; Infinity while it doesn't run. */
  runEndByMs: number;
  stage: "preparing" | "queued" | "sent" | "running" | "ended";
  /** Ends what is still being fetched for it. */
  readonly fetching: AbortController;
  input: Json;
  /** What it costs its model, in the units of the model's cost; null before it was queued. */
  batchCost: number | null;
  /** About how much JSON the input is. */
  inputBytes: number;
  /** The folder with its downloaded input files; null when it has none. */
  inputDir: string | null;
  /** Where these files, and a large input, were put for a process to see. */
  linkedDirs: string[];
  /** Gives back what its input files take of this host's share for them; called when they are deleted. */
  dropShare(): void;
  /** Why it is being stopped; null while nobody wants that. */
  ending: "canceled" | "timed_out" | "stale" | null;
  /** When cooperation ends and its process is killed. */
  killAtMs: number;
  /** It is in a batch that has a slot. */
  inRun: boolean;
  /** What its runs took of the device, shared with its batch mates, in milliseconds. */
  deviceMs: number;
};

export function createPrediction(grant: Grant, nowMs: number): Prediction {
  return {
    ref: { id: grant.id, token: grant.token },
    grant,
    startByMs: nowMs + grant.startInMs,
    endByMs: nowMs + grant.endInMs,
    runEndByMs: Infinity,
    stage: "preparing",
    fetching: new AbortController(),
    input: grant.input ?? {},
    batchCost: null,
    inputBytes: 16 * 1024,
    inputDir: null,
    linkedDirs: [],
    dropShare() {},
    ending: null,
    killAtMs: Infinity,
    inRun: false,
    deviceMs: 0,
  };
}

export type Metrics = Record<string, Json>;

/**
 * The process that made a value: where its files lie, and the secret that tells a file of it from words of a client
 * that look like one. `isConfined`: it is isolated, and gives files of its scratch folder only.
 */
export type Origin = { scratchDir: string; fileMark: string; isConfined: boolean };

/** A value that the model made. */
export type Produced = Origin & {
  value: Json;
  /** The file that holds it as JSON instead, for a very large one. */
  file?: string;
  sizeBytes: number;
  mentionsFile: boolean;
};

/** Where the runtime reports to. `claim` is anything with a token. */
export type Reporter = {
  starting(claim: ClaimRef): void;
  chunk(claim: ClaimRef, chunk: Produced): void;
  log(claim: ClaimRef, text: string): void;
  metric(claim: ClaimRef, metrics: Metrics): void;
  succeeded(claim: ClaimRef, output: Produced, metrics: Metrics): void;
  /** The output came too late to be told: its files are deleted. */
  untold(claim: ClaimRef, output: Produced): void;
  failed(
    claim: ClaimRef,
    kind: "model" | "input" | "crash" | "timeout" | "late",
    code: string,
    message: string,
    metrics?: Metrics,
  ): void;
  /** `problem` says why, for `setup` and `no_room`. */
  released(claim: ClaimRef, reason: ReleaseReason, problem?: string): void;
  /** It ran, and has to run again: what that took is told. */
  again(claim: ClaimRef, why: "bisected" | "lost"): void;
  /** The edge wants no more of it: stop reporting, but for what it took. */
  forget(claim: ClaimRef): void;
};
