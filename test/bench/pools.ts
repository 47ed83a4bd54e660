/**
 * A thousand pools on one lane: how long a prediction takes from its client to its pool, and how long any call holds
 * its object. The pools are simulated, each with a WebSocket of its own; lane, shards, sessions and the Worker are the
 * product's. `--no-check` exits 0 whatever came of it; `--profile` tells where workerd spends its time, and slows it.
 *
 *     node test/bench/pools.ts [--pools 1000] [--rate 500] [--seconds 20] [--run-ms 400] [--shards 4] [--port 18690]
 *       [--profile] [--no-check]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createUpstashKafka } from "../../gpu-pool/intake/upstash-kafka.ts";
import { createUpstashSource } from "../../gpu-pool/intake/upstash-source.ts";
import { systemClock } from "../../gpu-pool/system-clock.ts";
import { createHttpClient } from "../../gpu-pool/transport/http-client.ts";
import { startCountedStack } from "./lib/counted-stack.ts";
import { echoModel, echoModels } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { usageOf } from "./lib/processes.ts";
import { startSimulatedPool } from "./lib/simulated-pool.ts";
import type { SimulatedPool } from "./lib/simulated-pool.ts";
import { profile } from "./lib/profile.ts";
import { quantile, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

/** Pools that connect at a time. */
const CONNECTING = 20;
const CLIENTS = 64;
const SETTLE_MS = 3000;
const DRAIN_MS = 10_000;
const HAND_OVER_MS = 100;
const CALL_MS = 50;

const { values } = parseArgs({
  options: {
    pools: { type: "string", default: "1000" },
    rate: { type: "string", default: "500" },
    seconds: { type: "string", default: "20" },
    "run-ms": { type: "string", default: "400" },
    shards: { type: "string", default: "4" },
    port: { type: "string", default: "18690" },
    profile: { type: "boolean", default: false },
    "no-check": { type: "boolean", default: false },
  },
});
const poolCount = Number(values.pools);
const perSecond = Number(values.rate);
const jobs = perSecond * Number(values.seconds);

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-pools-"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const stack = await startCountedStack({
  port: Number(values.port),
  stateDir,
  models: echoModels(stateDir),
  vars: { SHARD_COUNT: values.shards },
  ...(values.profile ? { inspectorPort: Number(values.port) + 1 } : {}),
});
const { path, version } = await echoModel(stack);
const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
const pools: SimulatedPool[] = [];
/** Milliseconds from the client's request to the grant's arrival. */
const handOverMs: number[] = [];
const ways = { channel: 0, poll: 0 };
const acceptMs: number[] = [];
let refused = 0;

async function connectAll(): Promise<void> {
  const http = createHttpClient(new URL(stack.url), { "content-type": "application/json" });
  const kafka = createUpstashKafka({ url: new URL(`${stack.url}/kafka`), username: "pool", password: stack.poolToken });
  let next = 0;
  async function connect(): Promise<void> {
    while (next < poolCount) {
      const session = `simulated-${String(next++).padStart(5, "0")}`;
      const onProblem = (problem: string) => console.log(problem);
      const pool = await startSimulatedPool({
        ...{ url: stack.url, token: stack.poolToken, session, http, runMs: Number(values["run-ms"]) },
        model: { model: path, version },
        source: createUpstashSource({ kafka, isServed: true, lane: "default", session, clock: systemClock, onProblem }),
        onGrant({ input }, way) {
          ways[way] += 1;
          const sentAt = Number(typeof input === "object" && input !== null && "value" in input ? input.value : NaN);
          if (sentAt > 0) handOverMs.push(performance.now() - sentAt);
        },
      });
      pools.push(pool);
    }
  }
  await Promise.all(Array.from({ length: CONNECTING }, connect));
}

/** Sends one prediction, whose input is the time. */
function submit(): Promise<void> {
  return new Promise((resolve) => {
    const sentAt = performance.now();
    const options = {
      agent,
      method: "POST",
      headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "respond-async" },
    };
    const outgoing = request(`${stack.url}/v1/predictions`, options, (answer) => {
      answer.resume();
      answer.on("end", () => {
        acceptMs.push(performance.now() - sentAt);
        if ((answer.statusCode ?? 500) >= 300) refused += 1;
        resolve();
      });
    });
    outgoing.on("error", () => {
      refused += 1;
      resolve();
    });
    outgoing.end(JSON.stringify({ version, input: { value: String(sentAt) } }));
  });
}

/** At an even pace, whether the last ones are answered or not. Answers how many a second were sent. */
async function load(count: number): Promise<number> {
  const beganAt = performance.now();
  const sent: Promise<void>[] = [];
  while (sent.length < count) {
    const due = Math.min(count, Math.floor(((performance.now() - beganAt) * perSecond) / 1000));
    while (sent.length < due) sent.push(submit());
    await sleep(1);
  }
  const reached = (1000 * count) / (performance.now() - beganAt);
  await Promise.all(sent);
  return reached;
}

try {
  await stack.stopPool();
  const connectedAt = performance.now();
  await connectAll();
  console.log(`${poolCount} pools connected in ${((performance.now() - connectedAt) / 1000).toFixed(1)} s`);
  await sleep(SETTLE_MS);
  const endProfile = values.profile ? await profile(Number(values.port) + 1) : null;
  await load(2 * perSecond);
  await sleep(SETTLE_MS);
  handOverMs.length = 0;
  acceptMs.length = 0;
  Object.assign(ways, { channel: 0, poll: 0 });
  await stack.reset();
  const cpuMs = () => [stack.pids().workerd ?? 0, process.pid].map((pid) => usageOf(pid).cpuMs);
  const cpuBefore = cpuMs();
  const reached = await load(jobs);
  const giveUpAt = Date.now() + DRAIN_MS;
  while (handOverMs.length < jobs - refused && Date.now() < giveUpAt) await sleep(20);
  await sleep(Number(values["run-ms"]) + SETTLE_MS);

  const cpuEach = cpuMs().map((after, index) => ((after - (cpuBefore[index] ?? 0)) / jobs).toFixed(2));
  const { slowestMs, calls } = await stack.counters();
  const holds = Object.entries(slowestMs).toSorted(([, a], [, b]) => b - a);
  const [slowestCall = "", slowest = 0] = holds[0] ?? [];
  const p99 = quantile(handOverMs, 0.99);
  if (values.profile) console.log(calls);
  const laneCalls = Object.entries(calls)
    .filter(([name]) => name.startsWith("Lane."))
    .reduce((sum, [, count]) => sum + count, 0);
  const ms = (values_: readonly number[], share: number) => quantile(values_, share).toFixed(1);
  console.log(
    table(
      [`${poolCount} pools, ${reached.toFixed(0)} jobs/s of ${perSecond}`, "", "must"],
      [
        ["hand-over from the client's request, p50 ms", ms(handOverMs, 0.5), ""],
        ["hand-over, p99 ms", p99.toFixed(1), `at most ${HAND_OVER_MS}`],
        ["accept, p50, p99 ms", `${ms(acceptMs, 0.5)}, ${ms(acceptMs, 0.99)}`, ""],
        ["granted over the channel, by a poll", `${ways.channel}, ${ways.poll}`, ""],
        ["refused; not granted", `${refused}; ${jobs - refused - handOverMs.length}`, "0; 0"],
        ["calls to the lane a prediction", (laneCalls / jobs).toFixed(2), ""],
        ["CPU a prediction, ms: workerd; load and simulated pools", cpuEach.join("; "), ""],
        [`slowest hold of an object, ms (${slowestCall})`, slowest.toFixed(1), `at most ${CALL_MS}`],
      ],
    ),
  );
  for (const line of (await endProfile?.()) ?? []) console.log(line);
  console.log(
    `longest holds, ms: ${holds
      .slice(0, 8)
      .map(([call, took]) => `${call} ${took.toFixed(0)}`)
      .join(", ")}`,
  );
  const isMet = p99 <= HAND_OVER_MS && slowest <= CALL_MS && refused === 0 && handOverMs.length === jobs;
  process.exitCode = isMet || values["no-check"] ? 0 : 1;
} finally {
  for (const pool of pools) pool.stop();
  agent.destroy();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
  process.exit();
}
