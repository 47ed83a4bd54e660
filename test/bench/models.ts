/**
 * A neural model on the CPU (examples/sentence-embeddings): sentences per second through the whole path and through the
 * pool alone, beside the bare Python loop at its best batch size, in alternating rounds. Then what lies between Node
 * and a model process: a round trip, and a file's way.
 *
 *     node test/bench/models.ts [--rounds 3] [--seconds 4] [--port 18700]
 */
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepareEnvironment } from "../../gpu-pool/runtime/environments/index.ts";
import { parseCogYaml } from "../../gpu-pool/runtime/models/cog-yaml.ts";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import { bestBatch, startBareLoop } from "./lib/bare-loop.ts";
import { offerHelp } from "./lib/help.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { fileRate, roundTrips } from "./lib/model-process.ts";
import { repository, startPoolAlone } from "./lib/pool-alone.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const MODEL = "sentence-embeddings";
const SENTENCES = 32;
const BATCHES = [8, 16, 32, 64];
const IN_FLIGHT = 4;
const SINGLES = 32;
const TRIP_ROUNDS = 9;
const TRIPS = 1000;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    port: { type: "string", default: "18700" },
  },
});
const seconds = Number(values.seconds);
const durationMs = seconds * 1000;
const example = join(repository, "examples", MODEL);
const root = mkdtempSync(join(tmpdir(), "edgeplane-bench-models-"));
/** Kept between runs, so that its packages are installed once. */
const kept = join(repository, "node_modules/.cache/edgeplane/bench-models");
const texts = readFileSync(join(example, "sonnets.txt"), "utf8").split("\n").slice(0, SENTENCES);
const input = { text: texts, encoding: "base64" };

/** The pools find the environment that the bare loop has. */
process.env["EDGEPLANE_ENVIRONMENTS_DIR"] = join(kept, "environments");

console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}`);
const { python } = await prepareEnvironment({
  modelDir: example,
  cog: parseCogYaml(readFileSync(join(example, "cog.yaml"), "utf8")),
  environmentsDir: join(kept, "environments"),
  log: (line) => console.log(`environment │ ${line}`),
});
const stateDir = join(root, "stack");
const models = join(root, "models");
for (const name of [MODEL, "hello-world"]) {
  cpSync(join(repository, "examples", name), join(models, name), { recursive: true });
}

const bare = await startBareLoop(python, example, "embedder");
const alone = await startPoolAlone(
  (folder) => {
    cpSync(example, join(folder, MODEL), { recursive: true });
  },
  { edge: "empty" },
);
const stack = await startStack({ port: Number(values.port), stateDir, models });
try {
  await helloThrough(stack);
  const request = {
    url: `${stack.url}/v1/models/local/${MODEL}/predictions`,
    headers: { authorization: `Bearer ${stack.apiKey}`, prefer: "wait=60" },
    expect: '"succeeded"',
  };
  const many = { ...request, body: JSON.stringify({ input }), clients: IN_FLIGHT };
  const single = {
    ...request,
    body: JSON.stringify({ input: { ...input, text: texts[0] ?? "" } }),
    clients: SINGLES,
  };
  await runLoad({ ...many, requests: 20 });
  await alone.drive(MODEL, input, IN_FLIGHT, 1000);
  const best = await bestBatch(bare, texts, BATCHES, 1);

  const rates: Record<"bare" | "pool" | "stack" | "single", number[]> = { bare: [], pool: [], stack: [], single: [] };
  const cost = new Map<string, number[]>();
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    rates.bare.push(await bare.measure(texts, best.batch, seconds));
    rates.pool.push((await alone.drive(MODEL, input, IN_FLIGHT, durationMs)) * SENTENCES);
    rates.stack.push((await runLoad({ ...many, durationMs })).perSecond * SENTENCES);
    const { workerd, edge, pool } = stack.pids();
    if (workerd === null || edge === null || pool === null) throw new Error("the stack is not up");
    const cpu = measureCpu({
      workerd: [workerd],
      "edge process": [edge],
      pool: [pool],
      "model processes": descendantsOf(pool),
    });
    const load = await runLoad({ ...single, durationMs });
    rates.single.push(load.perSecond);
    for (const [group, cpuMs] of Object.entries(cpu())) {
      cost.set(group, [...(cost.get(group) ?? []), cpuMs / load.completed]);
    }
    const last = Object.entries(rates).map(([name, all]) => `${name} ${(all.at(-1) ?? 0).toFixed(0)}/s`);
    console.log(`round ${round}: ${last.join(", ")}`);
  }
  const ratio = { pool: median(rates.pool) / median(rates.bare), stack: median(rates.stack) / median(rates.bare) };
  const percent = (value: number) => `${(value * 100).toFixed(0)} %`;
  console.log(
    table(
      ["MiniLM, sentences/s", "median (least–most)", "of the bare loop", "must"],
      [
        [`bare Python loop, ${best.batch} at a time`, spread(rates.bare, 0), "", ""],
        [
          `through the pool alone, ${SENTENCES} a prediction`,
          spread(rates.pool, 0),
          percent(ratio.pool),
          "at least 97 %",
        ],
        [
          `through everything, ${SENTENCES} a prediction`,
          spread(rates.stack, 0),
          percent(ratio.stack),
          "at least 92 %",
        ],
        [
          `through everything, one a prediction, ${SINGLES} clients`,
          spread(rates.single, 0),
          percent(median(rates.single) / median(rates.bare)),
          "",
        ],
      ],
    ),
  );
  console.log(
    table(
      ["CPU-ms a prediction of one sentence", "median (least–most)"],
      [...cost].map(([group, all]) => [group, spread(all, 2)]),
    ),
  );

  const trips = await roundTrips(root, TRIP_ROUNDS, TRIPS);
  const rate = await fileRate(root, 9);
  const tripUs = median(trips.model.p50Us);
  const overBare = tripUs / median(trips.bare.p50Us);
  console.log(
    table(
      [`Node and a model process, ${TRIP_ROUNDS} rounds`, "median (least–most)", "aim"],
      [
        ["round trip of 1 KiB, p50 µs", `${spread(trips.model.p50Us, 0)}, ${overBare.toFixed(1)}× bare`, "at most 150"],
        ["round trip of 1 KiB, p99 µs", spread(trips.model.p99Us, 0), ""],
        ["bare Python echo over the same socket, p50 µs", spread(trips.bare.p50Us, 0), ""],
        ["64 MiB file in and out, MB/s", spread(rate, 0), "at least 500"],
      ],
    ),
  );
  process.exitCode = ratio.pool >= 0.97 && ratio.stack >= 0.92 && tripUs <= 150 && median(rate) >= 500 ? 0 : 1;
} finally {
  bare.stop();
  await alone.stop();
  await stack.stop();
  rmSync(root, { recursive: true, force: true });
}
