/** Carries one real prediction through the whole stack: the proof that it is up. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { StackError } from "./stack-error.ts";

const MODEL = "local/hello-world";
const LIMIT_MS = 60_000;
const RETRY_MS = 100;

const PredictionSchema = z.looseObject({ id: z.string(), status: z.string(), output: z.unknown(), error: z.unknown() });

/** Runs examples/hello-world and answers its output; waits until the pool has offered the model. Throws `StackError` after a minute. */
export async function helloThrough(stack: { url: string; apiKey: string }): Promise<string> {
  const headers = { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "wait=30" };
  const giveUpAt = performance.now() + LIMIT_MS;
  let last = "nothing was answered";
  while (performance.now() < giveUpAt) {
    const response = await fetch(`${stack.url}/v1/models/${MODEL}/predictions`, {
      method: "POST",
      headers,
      body: JSON.stringify({ input: { text: "world" } }),
    });
    const body = await response.text();
    last = `${response.status} ${body.slice(0, 300)}`;
    if (response.ok) {
      const prediction = PredictionSchema.parse(JSON.parse(body));
      if (prediction.status === "succeeded") return JSON.stringify(prediction.output);
      throw new StackError(`the first prediction did not succeed: ${last}`);
    }
    if (response.status !== 404) break;
    await sleep(RETRY_MS);
  }
  throw new StackError(`the first prediction could not be made: ${last}`);
}
