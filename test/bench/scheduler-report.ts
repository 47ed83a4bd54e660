/**
 * The batching of a pool beside plain FIFO, in simulated time: throughput of a backlog, and latency by load, over the
 * lengths of a real corpus (the paragraphs of docs/) and over synthetic ones with a long tail. Prints tables and writes
 * one page with plots, which needs nothing besides itself. The same seed gives the same page.
 *
 *     node test/bench/scheduler-report.ts [--out scheduler-report.html] [--jobs 6000] [--seed 1]
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { simulate } from "../../gpu-pool/runtime/simulation/simulated-pool.ts";
import type { Host, Job, Outcome } from "../../gpu-pool/runtime/simulation/simulated-pool.ts";
import type { BatchingOptions } from "../../gpu-pool/scheduling/batching/batch-limits.ts";
import { powersOfTwo } from "../../gpu-pool/scheduling/batching/buckets.ts";
import { tokenCount } from "../../gpu-pool/scheduling/batching/token-count.ts";
import { corpus } from "./lib/corpus.ts";
import { offerHelp } from "./lib/help.ts";
import { quantile, table } from "./lib/stats.ts";
import { linePlot } from "./lib/svg.ts";
import type { Series } from "./lib/svg.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "scheduler-report.html" },
    jobs: { type: "string", default: "6000" },
    seed: { type: "string", default: "1" },
  },
});
const JOBS = Number(values.jobs);
const DAY_MS = 86_400_000;

/** A call takes 6 ms, and 1 ms more for each 500 tokens, padding included. */
const CALL_MS = 6;
const TOKENS_PER_MS = 500;
const MAX_BATCH = 32;
const MAX_TOKENS = 512;
const LOADS = [0.2, 0.4, 0.6, 0.8, 0.9, 1, 1.2, 1.5, 2];

const policies: { name: string; batching: BatchingOptions }[] = [
  { name: "FIFO, fixed batches of 32", batching: { maxBatchSize: MAX_BATCH, maxQueueDelayMs: 1000 } },
  { name: "FIFO, batches of up to 32", batching: { maxBatchSize: MAX_BATCH, maxQueueDelayMs: 5 } },
  {
    name: "Edgeplane: by cost, in buckets",
    batching: { maxBatchSize: 128, maxQueueDelayMs: 5, maxBatchCost: 8192, buckets: powersOfTwo },
  },
];

/** mulberry32: numbers from 0 to 1. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Log-normal: 32 tokens in the middle, 400 at 98 %. */
function synthetic(random: () => number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.exp(Math.log(32) + 1.23 * normal);
}

const read = corpus().map(tokenCount);
const lengthsOf: Record<string, (random: () => number) => number> = {
  "paragraphs of docs/": (random) => read[Math.floor(random() * read.length)] ?? 1,
  "synthetic, log-normal": synthetic,
};

/** `perSecond` null: all at once. */
function jobsOf(length: (random: () => number) => number, perSecond: number | null): Job[] {
  const random = randomOf(Number(values.seed));
  let atMs = 0;
  return Array.from({ length: JOBS }, (_, index) => {
    if (perSecond !== null) atMs += (-Math.log(1 - random()) * 1000) / perSecond;
    const cost = Math.min(MAX_TOKENS, Math.ceil(length(random)) + 2);
    return { id: `j${index}`, atMs, startInMs: DAY_MS, endInMs: DAY_MS, cost, does: "well" };
  });
}

function run(batching: BatchingOptions, jobs: readonly Job[]): Outcome {
  const host: Host = {
    batching,
    instances: 1,
    room: 1024,
    ahead: 0,
    runMs: (size, largest) => CALL_MS + (size * largest) / TOKENS_PER_MS,
    memoryCost: Infinity,
    armMs: 2,
    restartMs: 0,
  };
  const outcome = simulate(jobs, host);
  if (outcome.problems.length > 0) throw new Error(outcome.problems.join("\n"));
  return outcome;
}

function perSecondOf({ ended }: Outcome): number {
  const lastMs = ended.reduce((last, { atMs }) => Math.max(last, atMs), 0);
  return (ended.length / lastMs) * 1000;
}

function wasteOf({ batches }: Outcome): number {
  const cost = batches.reduce((total, batch) => total + batch.cost, 0);
  return 1 - batches.reduce((total, { sum }) => total + sum, 0) / cost;
}

function latencyOf({ ended }: Outcome, share: number): number {
  return quantile(
    ended.map(({ atMs, job }) => atMs - job.atMs),
    share,
  );
}

const sections: string[] = [];
for (const [lengths, length] of Object.entries(lengthsOf)) {
  const backlog = policies.map(({ batching }) => run(batching, jobsOf(length, null)));
  const rates = backlog.map(perSecondOf);
  const usual = rates[1] ?? Number.NaN;
  const byLoad = policies.map(({ batching }) => LOADS.map((load) => run(batching, jobsOf(length, load * usual))));
  const near = LOADS.indexOf(0.8);
  const head = ["lengths", "batches", "a second", "of FIFO", "padding", "p50 at 80 %, ms", "p99 at 80 %, ms"];
  const rows = policies.map(({ name }, index) => {
    const calm = byLoad[index]?.[near];
    const full = backlog[index];
    if (calm === undefined || full === undefined) throw new Error("a simulation is missing");
    return [
      lengths,
      name,
      (rates[index] ?? 0).toFixed(0),
      `${((rates[index] ?? 0) / usual).toFixed(2)}×`,
      `${(wasteOf(full) * 100).toFixed(0)} %`,
      latencyOf(calm, 0.5).toFixed(0),
      latencyOf(calm, 0.99).toFixed(0),
    ];
  });
  console.log(`${table(head, rows)}\n`);
  const series = (share: number): Series[] =>
    policies.map(({ name }, index) => ({
      name,
      points: LOADS.map((load, place) => {
        const outcome = byLoad[index]?.[place];
        return [load * usual, outcome === undefined ? 0 : latencyOf(outcome, share)] as const;
      }),
    }));
  const plots = [0.5, 0.99].map((share) =>
    linePlot(series(share), { xTitle: "predictions offered a second", yTitle: `p${share * 100}, ms`, isLog: true }),
  );
  const cells = (one: readonly string[], tag: string): string =>
    `<tr>${one.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
  sections.push(
    `<h2>Lengths: ${lengths}</h2>`,
    `<table>${cells(head, "th")}${rows.map((row) => cells(row, "td")).join("")}</table>`,
    ...plots,
  );
}

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>The batching of a pool beside FIFO</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #111827 }
table { border-collapse: collapse; margin: 1em 0 } th, td { border: 1px solid #e5e7eb; padding: 4px 10px; text-align: left }
svg { margin: 0 12px 12px 0 }
</style>
<h1>The batching of a pool beside FIFO</h1>
<p>${JOBS} predictions, seed ${values.seed}, in simulated time, on one process: a call takes ${CALL_MS} ms, and 1 ms more for each
${TOKENS_PER_MS} tokens, padding included. The queue is the pool's own code. "a second": all come at once. The plots: they come at random
(Poisson); the load is that share of what FIFO with batches of up to 32 carries.</p>
${sections.join("\n")}
</html>
`;
writeFileSync(values.out, page);
console.log(`wrote ${values.out} (${(page.length / 1024).toFixed(0)} KiB)`);
