/** How much of a card's own rate comes through the pool: a bare loop and pools in turn, on the same text. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { bestBatch, startBareLoop } from "./bare-loop.ts";
import { startPoolAlone } from "./pool-alone.ts";
import type { PoolAlone } from "./pool-alone.ts";
import { descendantsOf, measureCpu } from "./processes.ts";
import { median, spread, table } from "./stats.ts";

const POLL_MS = 200;
/** Batches in flight: one is prepared, one runs, one is written, and the next ones wait or are on their way. */
const AHEAD = 10;

export type RatesOptions = {
  python: string;
  /** The folder of the model, and what it is called. */
  source: string;
  model: string;
  /** Puts it into a folder of models, for so many processes. */
  copyModel: (folder: string, processes: number) => void;
  text: string;
  /** The batches that the bare loop may choose from; the largest of the pool's. */
  sizes: readonly number[];
  limit: number;
  seconds: number;
  rounds: number;
  /** As nvidia-smi calls the card; null without one. */
  cardId: string | null;
  /** How many processes each of the pools runs. */
  processes: readonly number[];
};

/**
 * `ofBare`: the first pool's share of the bare loop's rate. `busy`: how busy the card is by NVML, in percent; null
 * without one.
 */
export type Rates = { table: string; ofBare: number; busy: number | null };

type Side = { name: string; rate: number[]; busy: number[]; cores: string[]; measure: () => Promise<number> };

export async function measureRates(options: RatesOptions): Promise<Rates> {
  const { text, limit, seconds, model } = options;
  const input = { text, encoding: "base64" };
  const bare = await startBareLoop(options.python, options.source, "encoder");
  const pools: PoolAlone[] = [];
  try {
    const best = await bestBatch(bare, [text], options.sizes, Math.min(2, seconds));
    const sides = [
      sideOf(`bare Python loop, ${best.batch} at a time`, () => bare.measure([text], best.batch, seconds)),
    ];
    for (const count of options.processes) {
      const pool = await startPoolAlone((models) => options.copyModel(join(models, model), count), { edge: "empty" });
      pools.push(pool);
      const inFlight = AHEAD * limit * count;
      await pool.drive(model, input, inFlight, 500);
      const name = `through the pool, batches of ${limit} at most, ${count} process${count === 1 ? "" : "es"}`;
      const side: Side = sideOf(name, () =>
        driven(pool, side.cores, () => pool.drive(model, input, inFlight, seconds * 1000)),
      );
      sides.push(side);
    }
    for (let round = 1; round <= options.rounds; round += 1) {
      for (const side of sides) await note(side, options.cardId);
      console.log(
        `round ${round}: ${sides.map(({ name, rate }) => `${name} ${(rate.at(-1) ?? 0).toFixed(0)}/s`).join("; ")}`,
      );
    }
    const [alone, first] = sides;
    const bareRate = median(alone?.rate ?? []);
    return {
      table: tableOf(sides, `${model} on ${bare.device}, ${Buffer.byteLength(text)} tokens a text`, text, bareRate),
      ofBare: median(first?.rate ?? []) / bareRate,
      busy: (first?.busy.length ?? 0) === 0 ? null : median(first?.busy ?? []),
    };
  } finally {
    bare.stop();
    for (const pool of pools) await pool.stop();
  }
}

function sideOf(name: string, measure: () => Promise<number>): Side {
  return { name, rate: [], busy: [], cores: [], measure };
}

async function note(side: Side, cardId: string | null): Promise<void> {
  const stop = watchCard(cardId);
  side.rate.push(await side.measure());
  const busy = stop();
  if (busy !== null) side.busy.push(busy);
}

/** Notes beside the rate how many cores the pool, its model processes, and this process (the small edge) kept busy. */
async function driven(pool: PoolAlone, notes: string[], drive: () => Promise<number>): Promise<number> {
  const since = performance.now();
  const stop = measureCpu({ pool: [pool.pid], models: descendantsOf(pool.pid), edge: [process.pid] });
  const rate = await drive();
  const cpu = stop();
  const cores = (ms: number): string => (ms / (performance.now() - since)).toFixed(2);
  notes.push(`pool ${cores(cpu.pool)}, models ${cores(cpu.models)}, edge ${cores(cpu.edge)}`);
  return rate;
}

function tableOf(sides: readonly Side[], title: string, text: string, bareRate: number): string {
  const tokens = Buffer.byteLength(text);
  const rows = sides.map(({ name, rate, busy, cores }) => [
    name,
    spread(rate, 1),
    (median(rate) * tokens).toFixed(0),
    `${((median(rate) / bareRate) * 100).toFixed(0)} %`,
    busy.length === 0 ? "no GPU" : `${median(busy).toFixed(0)} %`,
    cores.at(-1) ?? "",
  ]);
  return table([title, "texts/s", "tokens/s", "of the bare loop", "GPU busy (NVML)", "cores busy"], rows);
}

/**
 * Begins to ask NVML, through nvidia-smi, how busy the card is; the returned function ends it with the mean in percent.
 */
function watchCard(cardId: string | null): () => number | null {
  if (cardId === null) return () => null;
  const query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", cardId, "-lms", String(POLL_MS)];
  const child = spawn("nvidia-smi", query, { stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (said += part));
  child.once("error", () => {});
  return () => {
    child.kill();
    const samples = said
      .split("\n")
      .filter((line) => /^\s*\d+\s*$/.test(line))
      .map(Number);
    return samples.length === 0 ? null : samples.reduce((sum, value) => sum + value, 0) / samples.length;
  };
}
