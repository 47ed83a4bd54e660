/**
 * What `npm start` shows after hello: a neural model that embeds a poem's lines and finds the one nearest to a
 * question.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";

const MODEL = "sentence-embeddings";
const TEXT = "sonnets.txt";
const QUESTION = "How will this person live forever?";
const LIMIT_MS = 60_000;
const PROGRESS_MS = 10_000;
const POLL_MS = 200;

const PredictionSchema = z.looseObject({
  id: z.string(),
  status: z.string(),
  output: z.unknown().optional(),
  error: z.string().nullish(),
});
type Prediction = z.infer<typeof PredictionSchema>;
const VectorsSchema = z.array(z.string());

export type NearestOptions = {
  url: string;
  apiKey: string;
  /** The pool's folder of models. */
  models: string;
  say: (line: string) => void;
  /** Ends the wait; 60 s without it. What was begun goes on. */
  limitMs?: number;
};

class NoAnswer extends Error {}

/**
 * Says in one or two lines which line of the bundled text is nearest to a question, or in one line why not; never
 * throws. Silent when the folder of models has no such example. Resolves after `limitMs` at the latest.
 */
export async function sayNearestLine(options: NearestOptions): Promise<void> {
  const file = join(options.models, MODEL, TEXT);
  if (!existsSync(file) || !existsSync(join(options.models, MODEL, "cog.yaml"))) return;
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "");
  const { say } = options;
  const startedAt = performance.now();
  const deadline = AbortSignal.timeout(options.limitMs ?? LIMIT_MS);
  const seconds = () => ((performance.now() - startedAt) / 1000).toFixed(1);
  const progress = setInterval(
    () => say(`  Still at it after ${seconds()} s: a first start installs the model's packages.`),
    PROGRESS_MS,
  );
  try {
    const vectors = await embed(options, lines, deadline);
    const took = seconds();
    const [asked] = await embed(options, [QUESTION], deadline);
    const best = nearest(asked ?? [], vectors);
    say(
      `\n  local/${MODEL}, a neural model, was ready and had read ${lines.length} lines of Shakespeare after ${took} s.` +
        `\n  “${QUESTION}” is nearest to: “${lines[best]}”\n`,
    );
  } catch (error) {
    const why = deadline.aborted ? `not ready after ${seconds()} s; it goes on` : reasonOf(error);
    say(`\n  local/${MODEL} could not be shown: ${why}. Everything else works.\n`);
  } finally {
    clearInterval(progress);
  }
}

/** The index of the vector with the largest dot product: all have length 1. */
export function nearest(asked: ArrayLike<number>, vectors: readonly ArrayLike<number>[]): number {
  const scores = vectors.map((vector) => {
    let sum = 0;
    for (let index = 0; index < vector.length; index += 1) sum += (vector[index] ?? 0) * (asked[index] ?? 0);
    return sum;
  });
  return scores.indexOf(Math.max(...scores));
}

async function embed(options: NearestOptions, text: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
  const headers = { authorization: `Bearer ${options.apiKey}`, "content-type": "application/json", prefer: "wait" };
  const call = async (path: string, init: RequestInit): Promise<Prediction> => {
    const response = await fetch(`${options.url}${path}`, {
      ...init,
      headers,
      signal,
    });
    const body = await response.text();
    if (!response.ok) throw new NoAnswer(`it was answered ${response.status} ${body.slice(0, 200)}`);
    return PredictionSchema.parse(JSON.parse(body));
  };
  let prediction = await call(`/v1/models/local/${MODEL}/predictions`, {
    method: "POST",
    body: JSON.stringify({ input: { text, encoding: "base64" } }),
  });
  while (prediction.status === "starting" || prediction.status === "processing") {
    await sleep(POLL_MS, undefined, { signal });
    prediction = await call(`/v1/predictions/${prediction.id}`, {});
  }
  if (prediction.status !== "succeeded") throw new NoAnswer(prediction.error ?? prediction.status);
  return VectorsSchema.parse(prediction.output).map(decodeVector);
}

function decodeVector(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return new Float32Array(bytes.buffer);
}

/** One line of a reason that may have many. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const [first = ""] = text.split("\n");
  return first.replace(/[.:]?\s*$/, "");
}
