/**
 * A prediction as an answer: presented as everywhere, with what is stored as blobs put in its place. One that is large
 * goes through piece by piece: it may have any size, and many are read at once.
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { presentPrediction } from "../../contract/present.ts";
import type { PredictionView } from "../../contract/present.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import { readJsonUpTo, streamJson } from "../../storage/blobs.ts";
import type { JsonContent } from "../../storage/blobs.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import { answerJson } from "../answer-json.ts";
import type { AppContext } from "../app.ts";

/** What is put in its place in memory. */
export const WHOLE_BYTES = 256 * 1024;
/** A reader that takes nothing for so long is given up. */
const UNREAD_MS = 120_000;

/** `large`: keys of the blobs that stand in place of null when it is written. */
export type WholeView = { view: PredictionView; large: { input?: string; output?: string } };

/** Shows a prediction with its input and output. */
export async function showWhole(env: Env, prediction: PredictionSnapshot): Promise<WholeView> {
  const { inputBlob, outputBlob } = prediction;
  const contentOf = async (key: string | null, inline: PredictionSnapshot["input"]): Promise<JsonContent> =>
    key === null ? { value: inline } : readJsonUpTo(env.BLOBS, key, WHOLE_BYTES);
  const [input, output] = await Promise.all([
    contentOf(inputBlob, prediction.input),
    contentOf(outputBlob, prediction.output),
  ]);
  const filled = { ...prediction, input: input.value, output: output.value };
  return {
    view: await presentPrediction(filled, env.EDGEPLANE_SECRET),
    large: {
      ...(input.isLarge === true && inputBlob !== null ? { input: inputBlob } : {}),
      ...(output.isLarge === true && outputBlob !== null ? { output: outputBlob } : {}),
    },
  };
}

/** The view as JSON in one line, piece by piece. Throws, in the middle, for a blob that is no JSON. */
export async function* jsonOf(env: Env, { view, large }: WholeView): AsyncGenerator<string | Uint8Array> {
  const keys: Partial<Record<string, string>> = large;
  let text = "{";
  for (const [name, value] of Object.entries(view)) {
    if (value === undefined) continue;
    text += `${text === "{" ? "" : ","}${JSON.stringify(name)}:`;
    const key = keys[name];
    if (key === undefined) text += JSON.stringify(value);
    else {
      yield text;
      text = "";
      yield* streamJson(env.BLOBS, key);
    }
  }
  yield `${text}}`;
}

/** Answers it as JSON. */
export function answerWhole(
  c: AppContext,
  whole: WholeView,
  status: ContentfulStatusCode = 200,
  more: Record<string, string> = {},
): Response {
  const headers = { ...more, ...costHeaders(whole.view) };
  if (Object.keys(whole.large).length === 0) return answerJson(c, whole.view, status, headers);
  const encoder = new TextEncoder();
  const pieces = jsonOf(c.env, whole);
  let timer: ReturnType<typeof setTimeout> | null = null;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        try {
          const next = await pieces.next();
          if (next.done === true) return controller.close();
          controller.enqueue(typeof next.value === "string" ? encoder.encode(next.value) : next.value);
          timer = setTimeout(() => {
            controller.error(new Error("nobody reads this answer"));
            void pieces.return(undefined);
          }, UNREAD_MS);
        } catch (thrown) {
          log.warn("answer_broke_off", { requestId: c.get("requestId"), reason: reasonOf(thrown) });
          controller.error(thrown);
        }
      },
      async cancel() {
        clearTimeout(timer);
        await pieces.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return c.body(body, status, {
    ...headers,
    "content-type": "application/json",
    // It is compressed by nobody who would collect it first.
    "cache-control": "no-store, no-transform",
  });
}

/** `edgeplane-cost: 0.001250000 USD; estimated`, for who reads no body. */
function costHeaders({ cost }: PredictionView): Record<string, string> {
  return cost === undefined ? {} : { "edgeplane-cost": `${cost.amount} ${cost.currency}; ${cost.state}` };
}
