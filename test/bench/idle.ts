/**
 * Idle: 20 models, one pool, nothing to do. Counts the Worker's requests, the calls into objects, and the calls that
 * are still pending at the end, which would keep an object awake.
 *
 *     node test/bench/idle.ts [--minutes 3] [--port 18670]
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCountedStack } from "./lib/counted-stack.ts";
import { echoModel, echoModels } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { measureCpu } from "./lib/processes.ts";
import { table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const MODELS = 20;
const SETTLE_MS = 20_000;

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "3" }, port: { type: "string", default: "18670" } },
});
const minutes = Number(values.minutes);
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-idle-"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const models = echoModels(stateDir);
for (let index = 1; index < MODELS; index += 1) {
  cpSync(join(models, "echo"), join(models, `echo-${index}`), { recursive: true });
}
const stack = await startCountedStack({ port: Number(values.port), stateDir, models });
try {
  await echoModel(stack);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  await stack.reset();
  const { workerd, pool } = stack.pids();
  const cpu = measureCpu({ workerd: workerd === null ? [] : [workerd], pool: pool === null ? [] : [pool] });
  await new Promise((resolve) => setTimeout(resolve, minutes * 60_000));
  const counters = await stack.counters();
  const cpuMs = cpu();
  const each = (value: number) => (value / minutes).toFixed(2);
  const pending = Object.values(counters.pending).reduce((sum, count) => sum + count, 0) + counters.workerPending;
  const requests = counters.workerRequests / minutes;
  console.log(
    table(
      [`idle for ${minutes} min, ${MODELS} models, 1 pool`, "a minute", "aim"],
      [
        ["Worker requests", each(counters.workerRequests), "at most 3"],
        ...Object.entries(counters.calls).map(([name, count]) => [`· ${name}`, each(count), ""]),
        ["requests that hold an object or the Worker", String(pending), "0"],
        ["CPU-ms of workerd", each(cpuMs.workerd), ""],
        ["CPU-ms of the pool", each(cpuMs.pool), ""],
      ],
    ),
  );
  process.exitCode = requests <= 3 && pending === 0 ? 0 : 1;
} finally {
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
