/**
 * Idle: 20 models, one pool, one provider service that could rent machines, nothing to do. Counts the Worker's
 * requests, the calls into objects, and the calls that are still pending at the end, which would keep an object awake.
 *
 *     node test/bench/idle.ts [--minutes 3] [--port 18670]
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import * as z from "zod";
import { timesOf } from "../../provider/configuration.ts";
import { edgeAt } from "../../provider/edge.ts";
import { Entry } from "../../provider/entry.ts";
import { namesWith } from "../../provider/names.ts";
import { local, LocalSchema } from "../../provider/providers/local.ts";
import { Reconciler } from "../../provider/reconciler.ts";
import { callAdmin } from "../../scripts/lib/local-accounts.ts";
import { startCountedStack } from "./lib/counted-stack.ts";
import { echoModel, echoModels } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { measureCpu } from "./lib/processes.ts";
import { table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const MODELS = 20;
/** A service whose object has rested for 30 s is asked once a minute from then on. */
const SETTLE_MS = 60_000;
const PROVIDER = "bench";

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
let service: Entry | null = null;
try {
  await echoModel(stack);
  service = await startService();
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
      [`idle for ${minutes} min, ${MODELS} models, 1 pool, 1 provider service`, "a minute", "aim"],
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
  await service?.stop();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
}

/** One that offers a machine of this very machine, which nothing asks for. */
async function startService(): Promise<Entry> {
  const made = await callAdmin(stack.url, stack.adminKey, "POST", "provider-tokens", { providers: [PROVIDER] });
  const { token } = z.object({ token: z.string() }).parse(made);
  const options = LocalSchema.parse({ hardware: { cpu: { max: 1 } } });
  const entry = { name: PROVIDER, kind: "local" as const, prefix: "edgeplane-", ...options };
  const names = namesWith(entry.prefix);
  const started = new Entry({
    provider: local(entry, join(stateDir, "provider"), names),
    reconciler: new Reconciler({ ...entry, names, times: timesOf(entry) }),
    edge: edgeAt(new URL(stack.url), token),
    log: pino({ level: "silent" }),
    onRefused: (why) => console.error(why),
  });
  started.start();
  return started;
}
