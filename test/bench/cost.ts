/**
 * What one prediction costs: calls into Durable Objects, rows written (alarms set count as one each), and CPU time of
 * workerd, of the pool and of the model process. With one client, with 32, and through a backlog that waited for its
 * pool; then with 1,024 shards, as in a deployment. `--whole-life` goes on until what the 32 clients and the backlog
 * left is past its retention, which takes two minutes more.
 *
 *     node test/bench/cost.ts [--seconds 5] [--backlog 2000] [--port 18640] [--publish results,usage] [--whole-life]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ACCOUNT } from "../../scripts/lib/local-accounts.ts";
import { startCountedStack } from "./lib/counted-stack.ts";
import type { CountedStack, Counters } from "./lib/counted-stack.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import type { Limit } from "./lib/limits.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";

offerHelp(import.meta.url);

const SETTLE_MS = 2000;
/** The least that an account may ask for. */
const RETENTION_MS = 60_000;
/** An isolate knows of an account's change after so long. */
const CHANGE_KNOWN_MS = 11_000;
const DEPLOYED_SHARDS = 1024;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    backlog: { type: "string", default: "2000" },
    port: { type: "string", default: "18640" },
    publish: { type: "string", default: "" },
    "whole-life": { type: "boolean", default: false },
  },
});
const durationMs = Number(values.seconds) * 1000;
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-cost-"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const models = echoModels(stateDir);

/** `restartsPool`: the pool's processes aren't the same afterwards, and their CPU time can't be told. */
type Terms = { rows?: Limit; laneCalls?: Limit; restartsPool?: boolean };

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, count) => total + count, 0);
const rowsOf = ({ rowsWritten, alarmsSet }: Counters) => sum(rowsWritten) + sum(alarmsSet);
const laneCallsOf = ({ calls }: Counters) =>
  sum(Object.fromEntries(Object.entries(calls).filter(([name]) => name.startsWith("Lane."))));

/** Runs `work`, which answers how many predictions it made, and prints what each of them cost. */
async function measure(stack: CountedStack, title: string, work: () => Promise<number>, terms: Terms = {}) {
  const { workerd, pool } = stack.pids();
  const ids = (pid: number | null) => (pid === null ? [] : [pid]);
  const pools = { pool: ids(pool), "model process": ids(pool).flatMap(descendantsOf) };
  await stack.reset();
  const cpu = measureCpu<string>({ workerd: ids(workerd), ...(terms.restartsPool === true ? {} : pools) });
  const predictions = await work();
  await sleep(SETTLE_MS);
  const cpuMs = cpu();
  const counters = await stack.counters();
  const each = (value: number) => (value / predictions).toFixed(2);
  const judged = (value: number, limit?: Limit) => (limit === undefined ? "" : judge(value / predictions, limit));
  console.log(`\n${title}, ${predictions} predictions\n`);
  const rows = rowsOf(counters);
  const laneCalls = laneCallsOf(counters);
  return printJudged(
    ["per prediction", "", "must"],
    [
      ["Worker requests", each(counters.workerRequests), ""],
      ["Durable Object requests", each(sum(counters.calls)), ""],
      ...Object.entries(counters.calls).map(([name, count]) => [`· ${name}`, each(count), ""]),
      ["calls to the lane", each(laneCalls), judged(laneCalls, terms.laneCalls)],
      ["rows written", each(rows), judged(rows, terms.rows)],
      ...Object.entries(counters.rowsWritten).map(([name, count]) => [`· ${name}`, each(count), ""]),
      ...Object.entries(counters.alarmsSet).map(([name, count]) => [`· ${name}, alarms set`, each(count), ""]),
      ...Object.entries(cpuMs).map(([name, ms]) => [`CPU-ms of ${name}`, each(ms), ""]),
      ["slowest hold of an object, ms", Math.max(...Object.values(counters.slowestMs)).toFixed(1), ""],
    ],
  );
}

type Request = Awaited<ReturnType<typeof echoRequest>>;

async function load(request: Request, clients: number): Promise<number> {
  const done = await runLoad({ ...request, clients, durationMs });
  console.log(`${clients} client(s): ${done.perSecond.toFixed(0)}/s, p50 ${done.p50Ms.toFixed(1)} ms`);
  return done.completed;
}

/** What waits while no pool is there, until all of it has ended: one account's predictions end in their order. */
async function backlog(stack: CountedStack, request: Request): Promise<number> {
  const count = Number(values.backlog);
  const headers = { ...request.headers, prefer: "respond-async" };
  await stack.stopPool();
  await runLoad({ ...request, headers, expect: '"starting"', clients: 32, requests: count });
  stack.startPool();
  const last = await runLoad({ ...request, clients: 1, requests: 1 });
  return count + last.completed;
}

async function setRetention(stack: CountedStack): Promise<void> {
  const response = await fetch(`${stack.url}/admin/v1/accounts/${ACCOUNT}`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${stack.adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ retention_s: RETENTION_MS / 1000 }),
  });
  if (!response.ok) throw new Error(`the retention could not be set: ${response.status} ${await response.text()}`);
  await sleep(CHANGE_KNOWN_MS);
}

async function local(): Promise<boolean> {
  const port = Number(values.port);
  const vars = { PUBLISH_TOPICS: values.publish };
  const stack = await startCountedStack({ port, stateDir: join(stateDir, "local"), models, vars });
  try {
    const request = await echoRequest(stack);
    await runLoad({ ...request, clients: 32, requests: 1000 });
    const one = { rows: { must: 6, aim: 4 } };
    const many = { rows: { must: 5, aim: 4 } };
    const isMet = [
      await measure(stack, "1 client", () => load(request, 1), one),
      await measure(stack, "32 clients", () => load(request, 32), many),
      await measure(stack, "through a backlog", () => backlog(stack, request), { restartsPool: true }),
    ];
    if (values["whole-life"]) {
      await setRetention(stack);
      const wholeLife = async () => {
        const completed = await load(request, 32);
        await sleep(RETENTION_MS + 30_000);
        return completed;
      };
      await measure(stack, "32 clients, until their retention has ended", wholeLife);
    }
    return isMet.every(Boolean);
  } finally {
    await stack.stop();
  }
}

async function deployed(): Promise<boolean> {
  const vars = { PUBLISH_TOPICS: values.publish, SHARD_COUNT: String(DEPLOYED_SHARDS) };
  const port = Number(values.port) + 1;
  const stack = await startCountedStack({ port, stateDir: join(stateDir, "deployed"), models, vars });
  try {
    const request = await echoRequest(stack);
    await runLoad({ ...request, clients: 32, requests: 2 * DEPLOYED_SHARDS });
    const limits = { laneCalls: { must: 2.5, aim: 1.5 } };
    return await measure(stack, `32 clients, ${DEPLOYED_SHARDS} shards`, () => load(request, 32), limits);
  } finally {
    await stack.stop();
  }
}

try {
  const isMet = [await local(), await deployed()];
  process.exitCode = isMet.every(Boolean) ? 0 : 1;
} finally {
  rmSync(stateDir, { recursive: true, force: true });
}
