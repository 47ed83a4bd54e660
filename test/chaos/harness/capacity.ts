/**
 * What this machine carries. A load above that builds a queue by itself, and how long a recovery takes would be how
 * long that queue is: scenarios are paced by it.
 */
import { createClient } from "./client.ts";
import { startLoad } from "./load.ts";
import { startReceiver } from "./receiver.ts";
import { FASTEST_PER_SECOND, LOAD_SECONDS } from "./scenario.ts";
import { createWorld } from "./world.ts";

const PREDICTIONS = 600;
/** What comes first compiles code and fills caches, and is not measured. */
const WARM_UP_SHARE = 0.4;
/** Of what it carries, so much leaves room for what a fault makes necessary. */
const SHARE = 0.8;

/** What each scenario sends: for as long as a fast machine's load lasts, within these bounds. */
const MOST_SENT = 2000;
const LEAST_SENT = 1200;

let known: Promise<number> | null = null;

/** How many predictions each scenario sends, unless `CHAOS_PREDICTIONS` says it. */
export async function predictionCount(): Promise<number> {
  const asked = process.env["CHAOS_PREDICTIONS"];
  if (asked !== undefined) return Number(asked);
  const carried = Math.round(LOAD_SECONDS * (await comfortablePerSecond()));
  return Math.min(MOST_SENT, Math.max(LEAST_SENT, carried));
}

/** Predictions a second that leave a stack without faults time to spare; measured once in a process, in some 15 s. */
export function comfortablePerSecond(): Promise<number> {
  known ??= measure();
  return known;
}

/** How many times longer everything may take here than on the machine that the aims are for; 1 at least. */
export async function slowness(): Promise<number> {
  return Math.max(1, FASTEST_PER_SECOND / (await comfortablePerSecond()));
}

async function measure(): Promise<number> {
  const world = await createWorld("echo");
  const receiver = await startReceiver();
  const patience = new AbortController();
  try {
    const client = createClient(world.stack.url, world.stack.apiKey, patience.signal);
    const scenario = { name: "what this machine carries", model: "echo", disturb: () => Promise.resolve([]) };
    const load = startLoad(client, scenario, { receivers: [receiver], count: PREDICTIONS, perSecond: Infinity });
    await load.reached(WARM_UP_SHARE);
    const from = performance.now();
    await load.done;
    const comfortable = (SHARE * PREDICTIONS * (1 - WARM_UP_SHARE) * 1000) / (performance.now() - from);
    console.log(`chaos │ paced at ${comfortable.toFixed(0)} predictions a second at most`);
    return comfortable;
  } finally {
    patience.abort();
    await world.end();
    await receiver.stop();
  }
}
