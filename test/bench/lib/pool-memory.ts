/** What memory a real pool takes while a file goes down to a model and up again. */
import * as z from "zod";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { offered } from "./edgeplane.ts";
import { usageOf, watchMemory } from "./processes.ts";

const PredictionSchema = z.object({ id: z.string(), status: z.string(), error: z.unknown() });
const WAIT_MS = 300_000;
const POLL_MS = 200;

export type PoolMemory = { beforeBytes: number; peakBytes: number };

/** Sends the file behind `link` through `test/bench/file-models/hand-back` on the stack's pool, which has to run. */
export async function measurePoolMemory(stack: Stack, link: string): Promise<PoolMemory> {
  const { version } = await offered(stack, "hand-back");
  const headers = { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" };
  const predictions = `${stack.url}/v1/predictions`;
  const read = async (url: string, body?: object) => {
    const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    return PredictionSchema.parse(await (await fetch(url, { headers, ...init })).json());
  };
  const pid = stack.pids().pool ?? 0;
  const beforeBytes = usageOf(pid).rssBytes;
  const memory = watchMemory(pid);
  const startedAt = performance.now();
  const { id } = await read(predictions, { version, input: { file: link } });
  for (;;) {
    const { status, error } = await read(`${predictions}/${id}`);
    if (status === "succeeded") return { beforeBytes, peakBytes: memory.stop() };
    if (["failed", "canceled", "aborted"].includes(status) || performance.now() - startedAt > WAIT_MS) {
      memory.stop();
      throw new Error(`the prediction that hands a file back is ${status}: ${JSON.stringify(error)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
