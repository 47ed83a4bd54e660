/**
 * Makes processes collect their garbage, through V8's inspector, so that what they still hold afterwards is what they need. V8 puts a full collection
 * off while memory is plenty, for minutes under a light load; what it has not collected yet looks like a leak.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";

const ANSWER_MS = 5000;
/** Of workerd's many isolates those that do nothing never answer: none is waited for longer once the first has. */
const OTHERS_MS = 500;

const TargetsSchema = z.array(z.object({ webSocketDebuggerUrl: z.string() }));

/** Collects in the isolates behind the inspectors on these ports of loopback. Throws when none of a port answers in time. */
export async function collectGarbage(inspectorPorts: readonly number[]): Promise<void> {
  await Promise.all(inspectorPorts.map(collectBehind));
}

async function collectBehind(port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/json`, { signal: AbortSignal.timeout(ANSWER_MS) });
  const asked = TargetsSchema.parse(await response.json()).map((target) => askToCollect(target.webSocketDebuggerUrl));
  const answers = asked.map(({ answer }) => answer);
  try {
    const first = await Promise.race([Promise.any(answers).then(() => true), sleep(ANSWER_MS, false)]);
    if (!first) throw new Error(`the inspector on port ${port} did not collect garbage within ${ANSWER_MS} ms`);
    await Promise.race([Promise.allSettled(answers), sleep(OTHERS_MS)]);
  } finally {
    for (const { socket } of asked) socket.close();
  }
}

/** https://chromedevtools.github.io/devtools-protocol/tot/HeapProfiler/#method-collectGarbage */
function askToCollect(url: string): { socket: WebSocket; answer: Promise<void> } {
  const socket = new WebSocket(url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.addEventListener("open", () => socket.send(JSON.stringify({ id: 1, method: "HeapProfiler.collectGarbage" })));
  socket.addEventListener("message", () => resolve());
  socket.addEventListener("error", () => reject(new Error(`the inspector at ${url} can't be reached`)));
  promise.catch(() => {});
  return { socket, answer: promise };
}
