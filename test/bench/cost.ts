/**
 * What one prediction costs: calls into Durable Objects, rows written (alarms set count as one each), and CPU time of workerd, of the pool and of the
 * model process. With one client, and with 32.
 *
 *     node test/bench/cost.ts [--seconds 5] [--port 18640] [--publish results,usage]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCountedStack } from "./lib/counted-stack.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";
import { table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    port: { type: "string", default: "18640" },
    publish: { type: "string", default: "" },
  },
});
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-cost-"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const vars = { PUBLISH_TOPICS: values.publish };
const stack = await startCountedStack({ port: Number(values.port), stateDir, models: echoModels(stateDir), vars });
try {
  const request = await echoRequest(stack);
  await runLoad({ ...request, clients: 32, requests: 1000 });
  for (const clients of [1, 32]) {
    const { workerd, pool } = stack.pids();
    if (workerd === null || pool === null) throw new Error("the stack is not up");
    await stack.reset();
    const cpu = measureCpu({ workerd: [workerd], pool: [pool], "model process": descendantsOf(pool) });
    const load = await runLoad({ ...request, clients, durationMs: Number(values.seconds) * 1000 });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const cpuMs = cpu();
    const counters = await stack.counters();
    const each = (value: number) => (value / load.completed).toFixed(2);
    const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, count) => total + count, 0);
    const rows = sum(counters.rowsWritten) + sum(counters.alarmsSet);
    console.log(
      `\n${clients} client(s), ${load.completed} predictions, ${load.perSecond.toFixed(0)}/s, p50 ${load.p50Ms.toFixed(1)} ms`,
    );
    console.log(
      table(
        ["per prediction", ""],
        [
          ["Worker requests", each(counters.workerRequests)],
          ["Durable Object requests", each(sum(counters.calls))],
          ...Object.entries(counters.calls).map(([name, count]) => [`· ${name}`, each(count)]),
          ["rows written", each(rows)],
          ...Object.entries(counters.rowsWritten).map(([name, count]) => [`· ${name}`, each(count)]),
          ...Object.entries(counters.alarmsSet).map(([name, count]) => [`· ${name}, alarms set`, each(count)]),
          ...Object.entries(cpuMs).map(([name, ms]) => [`CPU-ms of ${name}`, each(ms)]),
          ["slowest hold of an object, ms", Math.max(...Object.values(counters.slowestMs)).toFixed(1)],
        ],
      ),
    );
  }
} finally {
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
