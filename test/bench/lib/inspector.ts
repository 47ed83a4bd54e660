/** The isolates of a process with an inspector. */
import * as z from "zod";

const ANSWER_MS = 5000;

/** An isolate of workerd may have a `#` in its name, and so in its address; no WebSocket takes one. */
const TargetSchema = z.object({ webSocketDebuggerUrl: z.string().transform((url) => url.replaceAll("#", "%23")) });

/** The addresses of the isolates behind this port of loopback. */
export async function isolatesOf(port: number): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${port}/json`, { signal: AbortSignal.timeout(ANSWER_MS) });
  const targets = z.array(TargetSchema).parse(await response.json());
  return targets.map(({ webSocketDebuggerUrl }) => webSocketDebuggerUrl);
}
