/**
 * Makes processes collect their garbage, through V8's inspector, so that what they still hold afterwards is what they need. V8 puts a full collection
 * off while memory is plenty, for minutes under a light load; what it has not collected yet looks like a leak.
 */
import * as z from "zod";

const ANSWER_MS = 3000;

const TargetsSchema = z.array(z.object({ webSocketDebuggerUrl: z.string() }));

/**
 * Collects in the isolates behind the inspectors on these ports of loopback. Of workerd's many isolates those that do nothing don't answer;
 * throws when none of a port does.
 */
export async function collectGarbage(inspectorPorts: readonly number[]): Promise<void> {
  for (const port of inspectorPorts) {
    const response = await fetch(`http://127.0.0.1:${port}/json`, { signal: AbortSignal.timeout(ANSWER_MS) });
    const targets = TargetsSchema.parse(await response.json());
    const answered = await Promise.all(targets.map((target) => collectIn(target.webSocketDebuggerUrl)));
    if (!answered.includes(true)) throw new Error(`the inspector on port ${port} did not collect garbage`);
  }
}

/**
 * True once it is done, false when nothing was answered in time.
 * https://chromedevtools.github.io/devtools-protocol/tot/HeapProfiler/#method-collectGarbage
 */
async function collectIn(url: string): Promise<boolean> {
  const socket = new WebSocket(url);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), ANSWER_MS);
  socket.addEventListener("open", () => socket.send(JSON.stringify({ id: 1, method: "HeapProfiler.collectGarbage" })));
  socket.addEventListener("message", () => resolve(true));
  socket.addEventListener("error", () => resolve(false));
  const isDone = await promise;
  clearTimeout(timer);
  socket.close();
  return isDone;
}
