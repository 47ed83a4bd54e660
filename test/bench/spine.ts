/**
 * The full path, submit → queue → model process → reply in one HTTP request, beside BullMQ + Redis (`appendfsync always`) + Hono. Rounds alternate
 * between the two; ratios are of the medians. Both keep everything on disk and check a key; one load generator serves both.
 *
 *     node test/bench/spine.ts [--rounds 5] [--seconds 4] [--port 18620]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import { benchFolder, startBullmq } from "./lib/bullmq.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { runLoad } from "./lib/load.ts";
import { machine, redisVersion, versions } from "./lib/machine.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
    port: { type: "string", default: "18620" },
  },
});
const rounds = Number(values.rounds);
const durationMs = Number(values.seconds) * 1000;
const port = Number(values.port);
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-spine-"));

console.log(`machine: ${machine()}`);
console.log(
  `versions: ${versions(["miniflare", "workerd"])}, ${versions(["bullmq", "ioredis", "hono"], benchFolder).replace(/^[^,]*, /, "")}, ${redisVersion()}`,
);

const peer = await startBullmq(port);
const stack = await startStack({ port: port + 5, stateDir, models: echoModels(stateDir) });
try {
  const ours = await echoRequest(stack);
  const theirs = {
    url: `${peer.url}/run`,
    headers: { authorization: `Bearer ${peer.apiKey}` },
    body: ours.body,
    expect: ours.expect,
  };
  const sides = { edgeplane: ours, bullmq: theirs };
  const p50: Record<keyof typeof sides, number[]> = { edgeplane: [], bullmq: [] };
  const rate: Record<keyof typeof sides, number[]> = { edgeplane: [], bullmq: [] };
  const p99: Record<keyof typeof sides, number[]> = { edgeplane: [], bullmq: [] };
  const cost = new Map<string, number[]>();

  const pids = stack.pids();
  const ids = (...known: (number | null)[]) => known.filter((pid) => pid !== null);
  const groups = () => ({
    workerd: ids(pids.workerd),
    "edge process": ids(pids.edge),
    pool: ids(pids.pool),
    "model processes": pids.pool === null ? [] : descendantsOf(pids.pool),
    "BullMQ API": [peer.pids.api],
    "BullMQ worker": [peer.pids.worker],
    Redis: [peer.pids.redis],
  });

  for (const side of Object.values(sides)) {
    await runLoad({ ...side, clients: 1, requests: 100 });
    await runLoad({ ...side, clients: 32, durationMs: 2000 });
  }
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of ["edgeplane", "bullmq"] as const) {
      const single = await runLoad({ ...sides[name], clients: 1, durationMs: durationMs / 2 });
      const cpu = measureCpu(groups());
      const many = await runLoad({ ...sides[name], clients: 32, durationMs });
      p50[name].push(single.p50Ms);
      rate[name].push(many.perSecond);
      p99[name].push(many.p99Ms);
      for (const [group, cpuMs] of Object.entries(cpu())) {
        const isOurs = !/BullMQ|Redis/.test(group);
        if (isOurs !== (name === "edgeplane")) continue;
        cost.set(group, [...(cost.get(group) ?? []), cpuMs / many.completed]);
      }
      console.log(
        `round ${round} ${name.padEnd(9)} 1 client p50 ${single.p50Ms.toFixed(2)} ms p99 ${single.p99Ms.toFixed(2)}; 32 clients ${many.perSecond.toFixed(0)}/s p50 ${many.p50Ms.toFixed(1)} p99 ${many.p99Ms.toFixed(1)} ms`,
      );
    }
  }
  const latency = median(p50.edgeplane) / median(p50.bullmq);
  const throughput = median(rate.edgeplane) / median(rate.bullmq);
  console.log(
    table(
      ["full path", "Edgeplane", "BullMQ + Redis + Hono", "ratio", "aim"],
      [
        [
          "1 client, p50 ms",
          spread(p50.edgeplane, 2),
          spread(p50.bullmq, 2),
          `${latency.toFixed(2)}×`,
          "1.5×, at most 2.5×",
        ],
        [
          "32 clients, predictions/s",
          spread(rate.edgeplane, 0),
          spread(rate.bullmq, 0),
          `${throughput.toFixed(2)}×`,
          "at least 0.8×",
        ],
        ["32 clients, p99 ms", spread(p99.edgeplane, 1), spread(p99.bullmq, 1), "", ""],
      ],
    ),
  );
  console.log(
    table(
      ["CPU-ms a prediction, 32 clients", "median (least–most)"],
      [...cost].map(([group, all]) => [group, spread(all, 2)]),
    ),
  );
  process.exitCode = latency <= 2.5 && throughput >= 0.8 ? 0 : 1;
} finally {
  await stack.stop();
  await peer.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
