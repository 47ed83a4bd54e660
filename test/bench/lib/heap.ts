/**
 * What V8 holds of a process with an inspector, by
 * https://chromedevtools.github.io/devtools-protocol/tot/Runtime/#method-getHeapUsage.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { isolatesOf } from "./inspector.ts";

/** Isolates that have nothing to do never answer. */
const ANSWER_MS = 5000;
const GARBAGE_ID = 1;
const USAGE_ID = 2;

const UsageSchema = z.object({
  id: z.literal(USAGE_ID),
  result: z.object({ usedSize: z.number(), totalSize: z.number() }),
});

export type Heap = { usedBytes: number; totalBytes: number };

/** Collects the garbage of all isolates that answer, and sums up what they still hold. */
export async function heapAfterGarbage(inspectorPort: number): Promise<Heap> {
  const heaps = await Promise.all((await isolatesOf(inspectorPort)).map(heapOf));
  return {
    usedBytes: heaps.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
    totalBytes: heaps.reduce((sum, { totalBytes }) => sum + totalBytes, 0),
  };
}

async function heapOf(url: string): Promise<Heap> {
  const socket = new WebSocket(url);
  const { promise, resolve } = Promise.withResolvers<Heap>();
  socket.addEventListener("open", () => {
    socket.send(JSON.stringify({ id: GARBAGE_ID, method: "HeapProfiler.collectGarbage" }));
    socket.send(JSON.stringify({ id: USAGE_ID, method: "Runtime.getHeapUsage" }));
  });
  socket.addEventListener("message", ({ data }) => {
    const usage = UsageSchema.safeParse(JSON.parse(String(data)));
    if (usage.success) resolve({ usedBytes: usage.data.result.usedSize, totalBytes: usage.data.result.totalSize });
  });
  socket.addEventListener("error", () => resolve({ usedBytes: 0, totalBytes: 0 }));
  const heap = await Promise.race([promise, sleep(ANSWER_MS, { usedBytes: 0, totalBytes: 0 })]);
  socket.close();
  return heap;
}
