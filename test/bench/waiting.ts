/**
 * 100,000 predictions waiting in one lane, 10,000 of them in one shard: how much slower accepting and claiming become,
 * how much workerd grows, and how long any call holds its object. All predictions are in one shard here, and no pool
 * takes any. `--apart` collects garbage before each look at the memory, and tells what of it V8 uses.
 *
 *     node test/bench/waiting.ts [--lane 100000] [--shard 10000] [--port 18680] [--apart]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { newPredictionId } from "../../src/contract/ids.ts";
import type { LaneEntry } from "../../src/lane/types.ts";
import type { Submission } from "../../src/shard/types.ts";
import { startCountedStack } from "./lib/counted-stack.ts";
import { echoModel, echoModels, echoRequest } from "./lib/edgeplane.ts";
import { heapAfterGarbage } from "./lib/heap.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { usageOf } from "./lib/processes.ts";
import { median, spread } from "./lib/stats.ts";

offerHelp(import.meta.url);

const ROUNDS = 5;
const SAMPLES = 200;
const SETTLE_MS = 5000;
const OTHER_ACCOUNTS = 50;
const HOUR_MS = 3_600_000;

const { values } = parseArgs({
  options: {
    lane: { type: "string", default: "100000" },
    shard: { type: "string", default: "10000" },
    port: { type: "string", default: "18680" },
    apart: { type: "boolean", default: false },
  },
});
const inShard = Number(values.shard);
const inLane = Number(values.lane);
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-waiting-"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const inspectorPort = Number(values.port) + 1;
const stack = await startCountedStack({
  port: Number(values.port),
  stateDir,
  models: echoModels(stateDir),
  vars: { SHARD_COUNT: "1" },
  ...(values.apart ? { inspectorPort } : {}),
});
const { path, version } = await echoModel(stack);
const [owner = "", name = ""] = path.split("/");

function submission(): Submission {
  return {
    id: newPredictionId(1),
    accountId: "bench",
    model: { owner, name, version },
    lane: "default",
    priority: "normal",
    cost: 1,
    weight: 1,
    input: { value: "waits" },
    inputBlob: null,
    payloadHash: "",
    startTimeoutMs: HOUR_MS,
    totalTimeoutMs: HOUR_MS,
    cancelAfterMs: null,
    retentionMs: null,
    webhook: null,
    webhookEvents: [],
    stream: false,
    iterates: false,
    resumesDeterministically: false,
    origin: stack.url,
    source: "api",
    traceparent: null,
    replayOf: null,
    deployment: null,
    keyed: false,
  };
}

/** Of many accounts: one may have no more than 100,000 waiting. */
const entry = (_: unknown, index: number): LaneEntry => ({
  id: newPredictionId(1),
  account: `other-${index % OTHER_ACCOUNTS}`,
  weight: 1,
  priority: "normal",
  cost: 1,
  model: path,
  version,
  createdAt: Date.now(),
  startBy: Date.now() + HOUR_MS,
  traceparent: null,
});

const submit = async (count: number): Promise<string[]> => {
  const submissions = Array.from({ length: count }, submission);
  await stack.call(
    "SHARD",
    "shard-0",
    "submit",
    submissions.map((one) => [one, 0]),
  );
  return submissions.map(({ id }) => id);
};

type Sample = { acceptMs: number[]; claimMs: number[] };

async function measure(request: Awaited<ReturnType<typeof echoRequest>>): Promise<Sample> {
  const sample: Sample = { acceptMs: [], claimMs: [] };
  const accept = { ...request, headers: { ...request.headers, prefer: "respond-async" }, expect: '"starting"' };
  for (let round = 0; round < ROUNDS; round += 1) {
    const load = await runLoad({ ...accept, clients: 1, requests: SAMPLES });
    sample.acceptMs.push(load.p50Ms);
    const ids = await submit(SAMPLES / 2);
    const claims = ids.map((id) => [{ session: "bench-session", jobs: [{ id, startNow: true }] }, ["default"]]);
    const { elapsedMs, results } = await stack.call("SHARD", "shard-0", "claim", claims);
    if (!JSON.stringify(results[0]).includes('"granted"'))
      throw new Error(`not granted: ${JSON.stringify(results[0])}`);
    sample.claimMs.push(median(elapsedMs));
  }
  return sample;
}

try {
  const request = await echoRequest(stack);
  await stack.stopPool();
  await runLoad({
    ...request,
    headers: { ...request.headers, prefer: "respond-async" },
    clients: 4,
    requests: 500,
    expect: '"id"',
  });
  const { workerd } = stack.pids();
  const rss = () => usageOf(workerd ?? 0).rssBytes / 2 ** 20;
  const look = async (when: string): Promise<void> => {
    if (!values.apart) return;
    const heap = await heapAfterGarbage(inspectorPort);
    const [used, committed] = [heap.usedBytes / 2 ** 20, heap.totalBytes / 2 ** 20];
    console.log(`${when}: V8 uses ${used.toFixed(1)} MiB of ${committed.toFixed(1)}; ${rss().toFixed(0)} MiB resident`);
  };
  const before = await measure(request);
  await look("none waiting");
  const rssBefore = rss();

  await stack.reset();
  const filledAt = performance.now();
  for (let filled = 0; filled < inShard; filled += 500) await submit(500);
  await look(`${inShard} in the shard and the lane`);
  for (let filled = inShard; filled < inLane; filled += 500) {
    const entries = Array.from({ length: 500 }, entry);
    await stack.call("LANE", "default", "exchange", [
      ["default", { entries, withdrawn: [], granted: [], unused: [], asked: [] }],
    ]);
  }
  console.log(`filled in ${((performance.now() - filledAt) / 1000).toFixed(0)} s`);
  await look(`${inLane} in the lane`);
  const after = await measure(request);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  await look("after the measurement");
  const growth = rss() - rssBefore;
  const { slowestMs } = await stack.counters();
  const holds = Object.entries(slowestMs).toSorted(([, a], [, b]) => b - a);
  const [slowestCall = "", slowest = 0] = holds[0] ?? [];
  const accept = median(after.acceptMs) / median(before.acceptMs);
  const claim = median(after.claimMs) / median(before.claimMs);
  const slower = { must: 1.5, unit: "×" };
  const isMet = printJudged(
    [`${inLane} waiting in the lane, ${inShard} in the shard`, "none waiting", "waiting", "", "must"],
    [
      [
        "accept, p50 ms",
        spread(before.acceptMs, 2),
        spread(after.acceptMs, 2),
        `${accept.toFixed(2)}×`,
        judge(accept, slower),
      ],
      [
        "claim, p50 ms",
        spread(before.claimMs, 2),
        spread(after.claimMs, 2),
        `${claim.toFixed(2)}×`,
        judge(claim, slower),
      ],
      [
        "resident memory of workerd, MiB",
        rssBefore.toFixed(0),
        rss().toFixed(0),
        `${growth > 0 ? "+" : ""}${growth.toFixed(0)}`,
        judge(growth, { must: 64, aim: 40, unit: " MiB" }),
      ],
      [
        `slowest hold of an object, ms (${slowestCall})`,
        "",
        slowest.toFixed(1),
        "",
        judge(slowest, { must: 50, unit: " ms" }),
      ],
    ],
  );
  console.log(`longest holds, ms: ${holds.map(([call, ms]) => `${call} ${ms.toFixed(0)}`).join(", ")}`);
  process.exitCode = isMet ? 0 : 1;
} finally {
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
