/**
 * One granted prediction while the pool holds it, and the port through which the runtime reports of it.
 *
 *   preparing (its input comes) → queued → running → ended
 *   running → queued again, when the batch it was in is halved
 */
import type { ClaimRef } from "../../src/contract/channel.ts";
import type { Grant } from "../../src/contract/claim.ts";
import type { Json } from "../../src/contract/prediction.ts";

export type Prediction = {
  readonly ref: ClaimRef;
  readonly grant: Grant;
  /** Monotonic deadlines, in milliseconds. */
  readonly startByMs: number;
  endByMs: number;
  stage: "preparing" | "queued" | "running" | "ended";
  input: Json;
  /** About how much JSON the input is. */
  inputBytes: number;
  /** The folder with its downloaded input files; null when it has none. */
  inputDir: string | null;
  /** Where these files were put for a process to see. */
  linkedDirs: string[];
  /** Why it is being stopped; null while nobody wants that. */
  ending: "canceled" | "timed_out" | "stale" | null;
  /** When cooperation ends and its process is killed. */
  killAtMs: number;
};

export function createPrediction(grant: Grant, nowMs: number): Prediction {
  return {
    ref: { id: grant.id, token: grant.token },
    grant,
    startByMs: nowMs + grant.startInMs,
    endByMs: nowMs + grant.endInMs,
    stage: "preparing",
    input: grant.input ?? {},
    inputBytes: 16 * 1024,
    inputDir: null,
    linkedDirs: [],
    ending: null,
    killAtMs: Infinity,
  };
}

export type Metrics = Record<string, Json>;

/** A value that the model made. */
export type Produced = {
  value: Json;
  /** The file that holds it as JSON instead, for a very large one. */
  file?: string;
  sizeBytes: number;
  mentionsFile: boolean;
  scratchDir: string;
};

/** Where the runtime reports to. `claim` is anything with a token. */
export type Reporter = {
  starting(claim: ClaimRef): void;
  chunk(claim: ClaimRef, chunk: Produced): void;
  log(claim: ClaimRef, text: string): void;
  metric(claim: ClaimRef, metrics: Metrics): void;
  succeeded(claim: ClaimRef, output: Produced, metrics: Metrics): void;
  failed(claim: ClaimRef, kind: "model" | "crash" | "timeout", code: string, message: string, metrics?: Metrics): void;
  released(claim: ClaimRef, reason: "drain" | "cannot_run" | "no_room" | "setup" | "lost"): void;
  /** The edge wants no more of it: stop reporting. */
  forget(claim: ClaimRef): void;
};
