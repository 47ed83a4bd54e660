/** Runs one scenario: stack, load and disturbance, then every prediction by GET, by SSE and by webhook. */
import { setTimeout as sleep } from "node:timers/promises";
import { ACCOUNT } from "../../../scripts/lib/local-accounts.ts";
import { watchStalls } from "../../stalls.ts";
import { comfortablePerSecond, slowness } from "./capacity.ts";
import { createClient } from "./client.ts";
import type { Client } from "./client.ts";
import { judgeDevices, lineOfDevice, measureDevices } from "./held-devices.ts";
import { judge } from "./ledger.ts";
import type { Evidence, Ledger } from "./ledger.ts";
import { startLoad } from "./load.ts";
import type { Trace } from "./load.ts";
import { startReceiver } from "./receiver.ts";
import { pacePerSecond } from "./scenario.ts";
import type { Outage, Scenario } from "./scenario.ts";
import { accountNamed, settleUsage } from "./usage.ts";
import { createWorld } from "./world.ts";
import type { World } from "./world.ts";

const SETTLE_MS = 60_000;
const WEBHOOKS_MS = 30_000;
const READERS = 16;
/** So many are sent whatever the machine carries: thousands would take too long. */
const LEAST_PER_SECOND = 60;

export type Report = {
  ledger: Ledger;
  /** One line for each thing of usage that is not as it should be. */
  misused: string[];
  evidence: Evidence[];
  outages: Outage[];
  seconds: number;
  lastLines: string[];
};

export async function runScenario(scenario: Scenario, count: number): Promise<Report> {
  const comfortable = await comfortablePerSecond();
  const perSecond = Math.min(Math.max(LEAST_PER_SECOND, comfortable), pacePerSecond(count, scenario.loadSeconds));
  const startedAt = performance.now();
  using stalls = watchStalls();
  const around = await scenario.around?.();
  const world = await createWorld(scenario.model, { ...scenario.stack, ...around?.stack });
  const receivers = (await scenario.receivers?.()) ?? [await startReceiver()];
  const patience = new AbortController();
  const restore = await scenario.prepare?.(world);
  try {
    const client = createClient(world.stack.url, world.stack.apiKey, patience.signal);
    const load = startLoad(client, scenario, { receivers, count, perSecond });
    const outages = await scenario.disturb(world, load);
    await within(load.sent, SETTLE_MS);
    await within(load.done, scenario.settleMs ?? SETTLE_MS);
    await delivered(load.traces);
    patience.abort();
    const reader = createClient(world.stack.url, world.stack.apiKey, AbortSignal.timeout(SETTLE_MS));
    const evidence = await gather(reader, world.runs(), load.traces);
    const misused = await misusedIn(world, evidence, scenario.deviceSlackMs);
    const seconds = (performance.now() - startedAt) / 1000;
    const ledger = judge(evidence, outages, {
      stalledMs: (fromMs, toMs) => stalls.within(fromMs, toMs),
      slowness: await slowness(),
    });
    return { ledger, misused, evidence, outages, seconds, lastLines: world.lastLines(40) };
  } finally {
    patience.abort();
    await restore?.();
    await world.end();
    for (const receiver of receivers) await receiver.stop();
    await around?.end();
  }
}

/** What is wrong with the usage of this world's one account. */
async function misusedIn(world: World, evidence: readonly Evidence[], deviceSlackMs = 0): Promise<string[]> {
  const { url, adminKey, apiKey } = world.stack;
  const ended = evidence.flatMap(({ last, runs }) => (last === null ? [] : [{ view: last, runs: runs.length }]));
  const readers = [{ account: await accountNamed(world.stack, ACCOUNT), key: apiKey }];
  const wrong = await settleUsage({ url, adminKey }, world.usage, readers, ended);
  const ids = new Map(
    evidence.flatMap(({ trace: { key, accepted } }) => (accepted === null ? [] : [[key, accepted.id]])),
  );
  const devices = measureDevices(world.held(), [...world.usage.records.values()], ids);
  console.log(`chaos │ ${devices.map(lineOfDevice).join("; ")}`);
  return [...wrong, ...judgeDevices(devices, deviceSlackMs * 1000)];
}

/** The scenario's line: what was sent and what came of it. */
export function lineOf(scenario: Scenario, { ledger, seconds }: Report): string {
  const { sent, succeeded, failedAsExpected, lost, twice, stuck, longestRecoveryMs } = ledger;
  const counts = `sent ${sent}, succeeded ${succeeded}, failed (expected) ${failedAsExpected}, lost ${lost}, twice ${twice}, stuck ${stuck}`;
  return `chaos │ ${scenario.name}: ${counts}, longest recovery ${longestRecoveryMs} ms (${seconds.toFixed(0)} s)`;
}

/** Waits for `done` no longer than `limitMs`; a refusal that is a fault of the test is thrown. */
export async function within(done: Promise<unknown>, limitMs: number): Promise<void> {
  const limit = new AbortController();
  await Promise.race([done, sleep(limitMs, undefined, { signal: limit.signal }).catch(() => {})]);
  limit.abort();
}

/** Waits for the webhooks of those that have ended. */
export async function delivered(traces: readonly Trace[]): Promise<void> {
  const giveUpAt = Date.now() + WEBHOOKS_MS;
  const open = new Set(traces.filter(({ finished }) => finished !== null));
  while (open.size > 0 && Date.now() < giveUpAt) {
    for (const trace of open) if (trace.receiver.delivered.has(trace.key)) open.delete(trace);
    await sleep(20);
  }
}

/** What is known of each in the end; `client` reads, and `runs` are the models' notes. */
export async function gather(
  client: Client,
  runs: ReadonlyMap<string, string[]>,
  traces: readonly Trace[],
): Promise<Evidence[]> {
  const evidence: Evidence[] = [];
  const left = [...traces];
  async function read(): Promise<void> {
    for (let trace = left.pop(); trace !== undefined; trace = left.pop()) {
      evidence.push({
        trace,
        ...(await askFor(client, trace)),
        messages: trace.receiver.received(trace.key),
        isDelivered: trace.receiver.delivered.has(trace.key),
        runs: runs.get(trace.key) ?? [],
      });
    }
  }
  await Promise.all(Array.from({ length: READERS }, read));
  return evidence;
}

async function askFor(client: Client, trace: Trace): Promise<Pick<Evidence, "last" | "replay">> {
  if (trace.accepted === null) return { last: null, replay: null };
  const last = await client.get(trace.accepted.id);
  if (last === null || trace.finished === null) return { last, replay: null };
  return { last, replay: await client.stream(trace.accepted.id) };
}
