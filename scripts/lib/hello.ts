/** Carries one real prediction through the whole stack: the proof that it is up. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { StackError } from "./stack-error.ts";

const MODEL = "local/hello-world";
const LIMIT_MS = 60_000;
const RETRY_MS = 100;

const PredictionSchema = z.looseObject({ id: z.string(), status: z.string(), output: z.unknown(), error: z.unknown() });

type Access = { url: string; apiKey: string };

/**
 * Runs examples/hello-world and answers its output; waits until the pool has offered the model. Throws `StackError`
 * after a minute.
 */
export async function helloThrough(stack: Access): Promise<string> {
  const headers = { ...authorized(stack), "content-type": "application/json", prefer: "wait=30" };
  const create = { method: "POST", headers, body: JSON.stringify({ input: { text: "world" } }) };
  const giveUpAt = performance.now() + LIMIT_MS;
  let path = `/v1/models/${MODEL}/predictions`;
  let last = "nothing was answered";
  while (performance.now() < giveUpAt) {
    const isNew = path.endsWith("/predictions");
    const response = await fetch(stack.url + path, isNew ? create : { headers: authorized(stack) });
    const body = await response.text();
    last = `${response.status} ${body.slice(0, 300)}`;
    if (response.ok) {
      const prediction = PredictionSchema.parse(JSON.parse(body));
      if (prediction.status === "succeeded") return JSON.stringify(prediction.output);
      if (prediction.status !== "starting" && prediction.status !== "processing") {
        throw new StackError(`the first prediction did not succeed: ${last}`);
      }
      path = `/v1/predictions/${prediction.id}`;
    } else if (response.status !== 404) break;
    await sleep(RETRY_MS);
  }
  throw new StackError(`the first prediction could not be made: ${last}`);
}

function authorized({ apiKey }: Access): { authorization: string } {
  return { authorization: `Bearer ${apiKey}` };
}
