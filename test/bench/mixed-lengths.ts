/**
 * Batches bounded by cost, in buckets, beside batches bounded by count: texts of mixed lengths (the paragraphs of
 * docs/) through a neural model on the CPU (examples/sentence-embeddings) and the pool alone, in alternating rounds.
 *
 *     node test/bench/mixed-lengths.ts [--rounds 3] [--texts 800] [--in-flight 256]
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepareEnvironment } from "../../gpu-pool/runtime/environments/index.ts";
import { parseCogYaml } from "../../gpu-pool/runtime/models/cog-yaml.ts";
import { tokenCount } from "../../gpu-pool/scheduling/batching/token-count.ts";
import { corpus } from "./lib/corpus.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { repository, startPoolAlone } from "./lib/pool-alone.ts";
import type { PoolAlone } from "./lib/pool-alone.ts";
import { measureCpu, descendantsOf } from "./lib/processes.ts";
import { median, quantile, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const MODEL = "sentence-embeddings";
const MUST = 1.3;
const COUNTED = "maxBatchSize: 32\n  maxQueueDelayMs: 5";
/** The model reads 128 tokens of a text, two of them its own. */
const BY_COST = `${COUNTED}\n  cost: min(tokens(text), 126) + 2\n  costBuckets: [12, 20, 32, 48, 80]\n  maxBatchCost: 2048`;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    texts: { type: "string", default: "800" },
    "in-flight": { type: "string", default: "256" },
  },
});
const example = join(repository, "examples", MODEL);
const kept = join(repository, "node_modules/.cache/edgeplane/bench-models");
const texts = corpus().slice(0, Number(values.texts));
const inputs = texts.map((text) => ({ text, encoding: "base64" }));
const lengths = texts.map(tokenCount);

process.env["EDGEPLANE_ENVIRONMENTS_DIR"] = join(kept, "environments");

async function start(keys: string): Promise<PoolAlone> {
  return startPoolAlone(
    (folder) => {
      const model = join(folder, MODEL);
      cpSync(example, model, { recursive: true });
      writeFileSync(
        join(model, "cog.yaml"),
        `build:\n  python_requirements: requirements.txt\nrun: "run.py:Runner"\nedgeplane:\n  ${keys}\n`,
      );
    },
    { edge: "empty" },
  );
}

/** Sum over count of a histogram. */
function mean(metrics: string, name: string): number {
  const read = (part: string): number =>
    Number(new RegExp(`^edgeplane_pool_${name}_${part}\\{[^}]*\\} (\\S+)$`, "m").exec(metrics)?.[1] ?? Number.NaN);
  return read("sum") / read("count");
}

console.log(`machine: ${machine()}`);
console.log(`versions: ${versions([])}`);
console.log(
  `${texts.length} texts of docs/: about ${quantile(lengths, 0.5)} tokens in the middle, ${quantile(lengths, 0.9)} at 90 %, ${Math.max(...lengths)} at the most`,
);
await prepareEnvironment({
  modelDir: example,
  cog: parseCogYaml(readFileSync(join(example, "cog.yaml"), "utf8")),
  environmentsDir: join(kept, "environments"),
  log: (line) => console.log(`environment │ ${line}`),
});
const sides = { counted: await start(COUNTED), byCost: await start(BY_COST) };
try {
  const rates: Record<keyof typeof sides, number[]> = { counted: [], byCost: [] };
  const cpuMs: Record<keyof typeof sides, number[]> = { counted: [], byCost: [] };
  for (const side of Object.values(sides)) await side.runAll(MODEL, inputs.slice(0, 64), 64);
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const name of ["counted", "byCost"] as const) {
      const cpu = measureCpu({ model: descendantsOf(sides[name].pid) });
      const rate = await sides[name].runAll(MODEL, inputs, Number(values["in-flight"]));
      rates[name].push(rate);
      cpuMs[name].push((cpu()["model"] ?? Number.NaN) / inputs.length);
      console.log(`round ${round}: ${name} ${rate.toFixed(0)} texts/s`);
    }
  }
  const ratio = median(rates.byCost) / median(rates.counted);
  const row = async (title: string, name: keyof typeof sides): Promise<string[]> => {
    const metrics = await sides[name].metrics();
    const waste = mean(metrics, "padding_waste");
    return [
      title,
      spread(rates[name], 0),
      spread(cpuMs[name], 1),
      mean(metrics, "batch_size").toFixed(1),
      Number.isNaN(waste) ? "" : `${(waste * 100).toFixed(0)} %`,
    ];
  };
  console.log(
    table(
      ["MiniLM, texts of mixed lengths", "texts/s, median (least–most)", "CPU-ms a text", "texts a batch", "padding"],
      [await row("bounded by count: 32", "counted"), await row("bounded by cost, in buckets", "byCost")],
    ),
  );
  console.log(`by cost: ${ratio.toFixed(2)}× by count (must be at least ${MUST}×)`);
  process.exitCode = ratio >= MUST ? 0 : 1;
} finally {
  await Promise.all(Object.values(sides).map((side) => side.stop()));
}
