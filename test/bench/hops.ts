/**
 * What a lone prediction waits for: when it passes the Worker, its objects and its model, and what each sync to disk
 * takes. The bench's own wrapper notes the times, in whole milliseconds; as requests begin at random parts of one,
 * means over many tell hundredths. Syncs are counted in a second pass, by `perf trace`. `--before` is a folder with
 * another checkout of the product, installed: it is measured first.
 *
 *     node test/bench/hops.ts [--predictions 500] [--port 18710] [--shards 1] [--before FOLDER]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as z from "zod";
import { commitOf, ownRoot } from "./lib/checkout.ts";
import { startCountedStack } from "./lib/counted-stack.ts";
import type { CountedStack, Mark } from "./lib/counted-stack.ts";
import { offered } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, quantile, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

/** What happens after the answer is noted for so long. */
const AFTER_MS = 20;
const WARM_UP = 100;
/** Something belongs to a prediction when it happens in so many of them. */
const SHARE = 0.6;

const { values } = parseArgs({
  options: {
    predictions: { type: "string", default: "500" },
    port: { type: "string", default: "18710" },
    shards: { type: "string", default: "1" },
    before: { type: "string" },
  },
});
const count = Number(values.predictions);
const models = fileURLToPath(new URL("hop-models", import.meta.url));
const PredictionSchema = z.object({ status: z.literal("succeeded"), output: z.number() });

type Timed = { marks: Mark[]; sentAt: number; tookMs: number };

function post(stack: CountedStack, agent: Agent, body: string): Promise<string> {
  const headers = {
    authorization: `Bearer ${stack.apiKey}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    prefer: "wait=60",
  };
  return new Promise((resolve_, reject) => {
    const call = request(`${stack.url}/v1/predictions`, { agent, method: "POST", headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => void (text += chunk));
      answer.once("end", () => resolve_(text));
    });
    call.once("error", reject);
    call.end(body);
  });
}

/** Timers end at whole milliseconds: the request leaves at any part of one. */
function spinToAnyTime(): void {
  const until = performance.now() + Math.random();
  while (performance.now() < until);
}

async function timeOne(stack: CountedStack, agent: Agent, body: string): Promise<Timed> {
  spinToAnyTime();
  const begin = performance.now();
  const sentAt = Date.now();
  const text = await post(stack, agent, body);
  const answeredAt = Date.now();
  const tookMs = performance.now() - begin;
  const { output } = PredictionSchema.parse(JSON.parse(text));
  await sleep(AFTER_MS);
  const noted = await stack.marks();
  const known: Mark[] = [
    ["client: sends", sentAt],
    ["model: runs", output],
    ["client: has the answer", answeredAt],
  ];
  return { marks: [...known, ...noted.filter(([, at]) => at >= sentAt)], sentAt, tookMs };
}

/** Mean offsets of what happens in most predictions, in the order of time. */
function timeline(all: readonly Timed[]): { what: string; atMs: number; share: number }[] {
  const offsets = new Map<string, number[]>();
  for (const { marks, sentAt } of all) {
    const seen = new Map<string, number>();
    for (const [what, at] of marks) {
      const nth = (seen.get(what) ?? 0) + 1;
      seen.set(what, nth);
      const name = nth === 1 ? what : `${what}, ${nth}.`;
      offsets.set(name, [...(offsets.get(name) ?? []), at - sentAt]);
    }
  }
  return [...offsets]
    .filter(([, ms]) => ms.length >= SHARE * all.length)
    .map(([what, ms]) => ({
      what,
      atMs: ms.reduce((sum, one) => sum + one, 0) / ms.length,
      share: ms.length / all.length,
    }))
    .toSorted((a, b) => a.atMs - b.atMs);
}

/** Durations of workerd's syncs while `work` goes on, in milliseconds; null where perf can't tell. */
async function syncsDuring(pid: number, work: () => Promise<void>): Promise<number[] | null> {
  const perf = spawn("perf", ["trace", "-e", "fdatasync,fsync", "-p", String(pid)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let text = "";
  let failed = false;
  perf.stderr.on("data", (chunk: Buffer) => void (text += chunk.toString()));
  perf.once("error", () => (failed = true));
  await sleep(1000);
  if (failed || perf.exitCode !== null) return null;
  await work();
  const ended = once(perf, "exit");
  perf.kill("SIGINT");
  await ended;
  return [...text.matchAll(/\(\s*([\d.]+) ms\):.*f(?:data)?sync\(.*= 0/g)].map((match) => Number(match[1]));
}

async function measure(product: string): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-hops-"));
  const port = Number(values.port);
  const stack = await startCountedStack({ port, stateDir, models, product, vars: { SHARD_COUNT: values.shards } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const { version } = await offered(stack, "timed");
    const body = JSON.stringify({ version, input: {} });
    for (let index = 0; index < WARM_UP; index += 1) await post(stack, agent, body);
    await stack.marks();
    const all: Timed[] = [];
    while (all.length < count) all.push(await timeOne(stack, agent, body));
    const took = all.map(({ tookMs }) => tookMs);
    const steps = timeline(all);
    console.log(
      table(
        ["what happens", "at, ms", "after the step before, ms", "in % of the predictions"],
        steps.map(({ what, atMs, share }, index) => [
          what,
          atMs.toFixed(2),
          index === 0 ? "" : (atMs - (steps[index - 1]?.atMs ?? 0)).toFixed(2),
          (100 * share).toFixed(0),
        ]),
      ),
    );
    console.log(`the client's own clock: p50 ${median(took).toFixed(2)} ms, p99 ${quantile(took, 0.99).toFixed(2)} ms`);
    const syncs = await syncsDuring(stack.pids().workerd ?? 0, async () => {
      for (let index = 0; index < count; index += 1) {
        await post(stack, agent, body);
        await sleep(AFTER_MS);
      }
    });
    console.log(
      syncs === null
        ? "syncs: not counted, as perf doesn't run here"
        : `syncs: ${(syncs.length / count).toFixed(2)} a prediction, p50 ${median(syncs).toFixed(2)} ms, p99 ${quantile(syncs, 0.99).toFixed(2)} ms`,
    );
  } finally {
    agent.destroy();
    await stack.stop();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}; shards: ${values.shards}`);
for (const product of [...(values.before === undefined ? [] : [resolve(values.before)]), ownRoot]) {
  console.log(`\n${commitOf(product)}, ${count} predictions, one after the other\n`);
  await measure(product);
}
