/**
 * 1,000 clients that poll waiting predictions every 500 ms: what reaches the objects, what a poll costs, and when a
 * client knows of a change; beside plain polling of a bare Worker → object. The shards are as many as a deployment has,
 * so that no two clients share one by default.
 *
 *     node test/bench/polling.ts [--clients 1000] [--shards 1024] [--rounds 3] [--seconds 15] [--port 18690]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import { startBare } from "./lib/bare.ts";
import { startCountedStack } from "./lib/counted-stack.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { poll } from "./lib/pollers.ts";
import type { Polling } from "./lib/pollers.ts";
import { measureCpu } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const PAUSE_MS = 500;
/** Until the last of what submitting left to do is done, and all holds have the length that the load gives them. */
const WARM_UP_MS = 10_000;
const CHANGES = 50;
const AIM_PER_SECOND = 600;
const MADE_AT_ONCE = 16;

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "1000" },
    shards: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "15" },
    port: { type: "string", default: "18690" },
  },
});
const port = Number(values.port);
const clients = Number(values.clients);
const durationMs = Number(values.seconds) * 1000;
const IdSchema = z.object({ id: z.string() });

type Round = {
  objectsPerSecond: number;
  pollsPerSecond: number;
  cpuMsPerPoll: number;
  p50Ms: number;
  p99Ms: number;
  changeP99Ms: number;
};
type Things = Polling["things"];
type Calls = Record<string, number>;

/** Makes `count` things, some at a time; each call of `make` answers with what was made. */
async function makeAll<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      made.push(await make());
    }
  };
  await Promise.all(Array.from({ length: MADE_AT_ONCE }, worker));
  return made;
}

const perSecond = (count: number) => (count * 1000) / durationMs;

async function post(url: string, init: { headers: Record<string, string>; body: string }): Promise<string> {
  const response = await fetch(url, { method: "POST", ...init });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return IdSchema.parse(await response.json()).id;
}

async function measure(side: {
  things: Things;
  headers: Record<string, string>;
  changed: string;
  pid: number | null;
  /** Calls into objects so far; null where each poll is one by construction. */
  calls: (() => Promise<Calls>) | null;
}): Promise<Round> {
  const { things, headers, changed, pid } = side;
  const polling = { things, headers, changed, pauseMs: PAUSE_MS, warmUpMs: WARM_UP_MS, durationMs, changes: CHANGES };
  let cpu: () => { workerd: number } = () => ({ workerd: Number.NaN });
  let cpuMs = Number.NaN;
  let before = Promise.resolve<Calls>({});
  let after = before;
  const { polls, delay, changeP99Ms } = await poll(
    polling,
    () => {
      cpu = measureCpu({ workerd: pid === null ? [] : [pid] });
      before = side.calls?.() ?? before;
    },
    () => {
      cpuMs = cpu().workerd;
      after = side.calls?.() ?? after;
    },
  );
  const earlier = await before;
  const made = Object.entries(await after).map(([name, count]) => [name, count - (earlier[name] ?? 0)] as const);
  const calls = side.calls === null ? polls : made.reduce((sum, [, count]) => sum + count, 0);
  const each = made.filter(([, count]) => count > 0).map(([name, count]) => `${name} ${perSecond(count).toFixed(0)}`);
  if (each.length > 0) console.log(`calls a second: ${each.join(", ")}`);
  return {
    objectsPerSecond: perSecond(calls),
    pollsPerSecond: perSecond(polls),
    cpuMsPerPoll: cpuMs / polls,
    p50Ms: delay.p50,
    p99Ms: delay.p99,
    changeP99Ms,
  };
}

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-polling-"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const vars = { SHARD_COUNT: values.shards };
const stack = await startCountedStack({ port, stateDir, models: echoModels(stateDir), vars });
const bare = await startBare(port + 1, stateDir);
try {
  const { headers, body } = await echoRequest(stack);
  await stack.stopPool();
  const key = { authorization: headers.authorization };

  const measureOurs = async (): Promise<Round> => {
    const init = { headers: { ...key, "content-type": "application/json", prefer: "respond-async" }, body };
    const ids = await makeAll(clients, () => post(`${stack.url}/v1/predictions`, init));
    const things = ids.map((id) => {
      const url = `${stack.url}/v1/predictions/${id}`;
      return { url, change: { method: "POST", url: `${url}/cancel` } };
    });
    const calls = async () => (await stack.counters()).calls;
    return measure({ things, headers: key, changed: '"canceled"', pid: stack.pids().workerd, calls });
  };
  const measureBare = async (): Promise<Round> => {
    const init = { headers: {}, body: JSON.stringify({ value: "waits" }) };
    const ids = await makeAll(clients, () => post(bare.url, init));
    const things = ids.map((id) => ({
      url: `${bare.url}/${id}`,
      change: { method: "DELETE", url: `${bare.url}/${id}` },
    }));
    return measure({ things, headers: {}, changed: '"canceled"', pid: bare.pid(), calls: null });
  };

  const ours: Round[] = [];
  const bares: Round[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    ours.push(await measureOurs());
    bares.push(await measureBare());
  }
  const row = (name: string, field: keyof Round, digits: number, aim = "") => {
    const mine = ours.map((round) => round[field]);
    const theirs = bares.map((round) => round[field]);
    const ratio = median(mine) / median(theirs);
    return [name, spread(mine, digits), spread(theirs, digits), `${ratio.toFixed(2)}×`, aim];
  };
  console.log(
    table(
      [`${clients} clients, a pause of ${PAUSE_MS} ms, ${values.shards} shards`, "Edgeplane", "bare object", "", "aim"],
      [
        row("requests/s into objects", "objectsPerSecond", 0, `at most ${AIM_PER_SECOND}`),
        row("polls/s", "pollsPerSecond", 0),
        row("CPU-ms of workerd a poll", "cpuMsPerPoll", 2),
        row("from a change to its client's knowing, p50 ms", "p50Ms", 0),
        row("the same, p99 ms", "p99Ms", 0),
        row("from a change to its own answer, p99 ms", "changeP99Ms", 0),
      ],
    ),
  );
  process.exitCode = median(ours.map((round) => round.objectsPerSecond)) <= AIM_PER_SECOND ? 0 : 1;
} finally {
  await bare.stop();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
