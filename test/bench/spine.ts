/**
 * The full path, submit → queue → model process → reply in one HTTP request, beside BullMQ + Redis (`appendfsync
 * always`) + Hono. Rounds alternate between the sides; ratios are of the medians. Both keep everything on disk and
 * check a key; one load generator serves all sides. `--before` is a folder with another checkout of the product,
 * installed: its stack is a third side, and workerd's CPU time is compared with its workerd's.
 *
 *     node test/bench/spine.ts [--rounds 5] [--seconds 4] [--port 18620] [--shards 1] [--before FOLDER]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { benchFolder, installPeers, startBullmq } from "./lib/bullmq.ts";
import { commitOf, moduleOf, ownRoot } from "./lib/checkout.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { runLoad } from "./lib/load.ts";
import type { Load } from "./lib/load.ts";
import { machine, redisVersion, versions } from "./lib/machine.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

/** Where the peer is faster than this, what a model process of its own costs weighs more. */
const FAST_PEER_MS = 2;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
    port: { type: "string", default: "18620" },
    shards: { type: "string", default: "1" },
    before: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const port = Number(values.port);
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-spine-"));

installPeers();
console.log(`machine: ${machine()}`);
console.log(
  `versions: ${versions(["miniflare", "workerd"])}, ${versions(["bullmq", "ioredis", "hono"], benchFolder).replace(/^[^,]*, /, "")}, ${redisVersion()}`,
);
console.log(`shards: ${values.shards}; Edgeplane: ${commitOf(ownRoot)}`);
if (values.before !== undefined) console.log(`before: ${commitOf(values.before)}`);

type Side = {
  load: Pick<Load, "url" | "headers" | "body" | "expect">;
  processes: Record<string, number[]>;
  p50: number[];
  rate: number[];
  p99: number[];
  cpu: Map<string, number[]>;
};

function sideOf(load: Side["load"], processes: Side["processes"]): Side {
  return { load, processes, p50: [], rate: [], p99: [], cpu: new Map() };
}

async function sideOfStack(stack: Stack): Promise<Side> {
  const load = await echoRequest(stack);
  const { workerd, edge, pool } = stack.pids();
  const ids = (pid: number | null) => (pid === null ? [] : [pid]);
  return sideOf(load, {
    workerd: ids(workerd),
    "edge process": ids(edge),
    pool: ids(pool),
    "model processes": ids(pool).flatMap(descendantsOf),
  });
}

async function measure(name: string, side: Side, round: number): Promise<void> {
  const single = await runLoad({ ...side.load, clients: 1, durationMs: durationMs / 2 });
  const cpu = measureCpu(side.processes);
  const many = await runLoad({ ...side.load, clients: 32, durationMs });
  for (const [process_, cpuMs] of Object.entries(cpu())) {
    side.cpu.set(process_, [...(side.cpu.get(process_) ?? []), cpuMs / many.completed]);
  }
  side.p50.push(single.p50Ms);
  side.rate.push(many.perSecond);
  side.p99.push(many.p99Ms);
  console.log(
    `round ${round} ${name.padEnd(9)} 1 client p50 ${single.p50Ms.toFixed(2)} ms p99 ${single.p99Ms.toFixed(2)}; 32 clients ${many.perSecond.toFixed(0)}/s p50 ${many.p50Ms.toFixed(1)} p99 ${many.p99Ms.toFixed(1)} ms`,
  );
}

const models = echoModels(stateDir);
const vars = { SHARD_COUNT: values.shards };
const stacks: Stack[] = [];
const peer = await startBullmq(port);
try {
  stacks.push(await startStack({ port: port + 5, stateDir: join(stateDir, "now"), models, vars }));
  if (values.before !== undefined) {
    const other = await moduleOf<{ startStack: typeof startStack }>(values.before, "scripts/lib/stack.ts");
    stacks.push(await other.startStack({ port: port + 6, stateDir: join(stateDir, "before"), models, vars }));
  }
  const [ours, before] = await Promise.all(stacks.map(sideOfStack));
  if (ours === undefined) throw new Error("the stack is not up");
  const headers = { authorization: `Bearer ${peer.apiKey}` };
  const { redis, api, worker } = peer.pids;
  const theirs = sideOf(
    { ...ours.load, url: `${peer.url}/run`, headers },
    { "BullMQ API": [api], "BullMQ worker": [worker], Redis: [redis] },
  );
  const sides = Object.entries({ edgeplane: ours, bullmq: theirs, ...(before === undefined ? {} : { before }) });
  for (const [, { load }] of sides) {
    await runLoad({ ...load, clients: 1, requests: 100 });
    await runLoad({ ...load, clients: 32, durationMs: 2000 });
  }
  for (let round = 1; round <= rounds; round += 1) {
    for (const [name, side] of sides) await measure(name, side, round);
  }

  const bullmqMs = median(theirs.p50);
  const latency = median(ours.p50) / bullmqMs;
  const throughput = median(ours.rate) / median(theirs.rate);
  const row = (name: string, of: (side: Side) => number[], digits: number) => [
    name,
    spread(of(ours), digits),
    spread(of(theirs), digits),
    before === undefined ? "" : spread(of(before), digits),
  ];
  const isMet = printJudged(
    ["full path", "Edgeplane", "BullMQ + Redis + Hono", "before", "of BullMQ's", "must"],
    [
      [
        ...row("1 client, p50 ms", ({ p50 }) => p50, 2),
        `${latency.toFixed(2)}×`,
        judge(latency, { must: bullmqMs < FAST_PEER_MS ? 2 : 1.5, aim: 1.3, unit: "×" }),
      ],
      [
        ...row("32 clients, predictions/s", ({ rate }) => rate, 0),
        `${throughput.toFixed(2)}×`,
        judge(throughput, { must: 0.85, aim: 1, isFloor: true, unit: "×" }),
      ],
      [...row("32 clients, p99 ms", ({ p99 }) => p99, 1), "", ""],
    ],
  );
  console.log(
    table(
      ["CPU-ms a prediction, 32 clients", "median (least–most)"],
      sides.flatMap(([name, { cpu }]) =>
        [...cpu].map(([process_, all]) => [name === "before" ? `before: ${process_}` : process_, spread(all, 2)]),
      ),
    ),
  );
  const cpuOf = (side: Side | undefined) => median(side?.cpu.get("workerd") ?? []);
  const share = judge(cpuOf(ours) / cpuOf(before), { must: 0.57, aim: 0.45, unit: "×" });
  if (before !== undefined) {
    console.log(`workerd's CPU a prediction, of before: ${(cpuOf(ours) / cpuOf(before)).toFixed(2)}× (${share.text})`);
  }
  process.exitCode = isMet && (before === undefined || share.isMet) ? 0 : 1;
} finally {
  for (const stack of stacks) await stack.stop();
  await peer.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
