/**
 * One sentence a request, 32 clients, MiniLM on the CPU (examples/sentence-embeddings): through everything, beside
 * LitServe, Mosec and Ray Serve with the same model, each with batches of at most 32 that are gathered for at most 5
 * ms. None of the three stores anything. Sides take turns, each started anew and alone on the machine. Prints requests
 * a second, latency, and the CPU time that a prediction costs beside what the model takes in a bare loop.
 *
 *     node test/bench/rivals.ts [--rounds 5] [--seconds 6] [--port 18720] [--only edgeplane,mosec]
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
import type { LoadResult } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { repository } from "./lib/pool-alone.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";
import { installRivals, rivalVersions, startRival } from "./lib/rivals.ts";
import type { RivalName } from "./lib/rivals.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const MODEL = "sentence-embeddings";
const CLIENTS = 32;
const BATCHES = [8, 16, 32];
const WARM_MS = 2000;
const MUST = 0.9;
const NAMES = { edgeplane: "Edgeplane", litserve: "LitServe", mosec: "Mosec", ray: "Ray Serve" } as const;
type Side = keyof typeof NAMES;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "6" },
    port: { type: "string", default: "18720" },
    only: { type: "string", default: Object.keys(NAMES).join(",") },
  },
});
const durationMs = Number(values.seconds) * 1000;
const port = Number(values.port);
const sides = (Object.keys(NAMES) as Side[]).filter((side) => values.only.split(",").includes(side));
const example = join(repository, "examples", MODEL);
/** Kept between runs, so that packages are installed once. */
const kept = join(repository, "node_modules/.cache/edgeplane/bench-models");
const root = mkdtempSync(join(tmpdir(), "edgeplane-bench-rivals-"));
const [text = ""] = readFileSync(join(example, "sonnets.txt"), "utf8").split("\n");
const body = JSON.stringify({ input: { text, encoding: "base64" } });

type Measured = { load: LoadResult; cpuMs: Record<string, number> };

/** Warms a side up, then loads it and reads what its processes used. */
async function measure(
  request: { url: string; headers: Record<string, string>; expect: string },
  groups: () => Record<string, readonly number[]>,
): Promise<Measured> {
  const load = { ...request, body, clients: CLIENTS };
  await runLoad({ ...load, durationMs: WARM_MS });
  const used = measureCpu(groups());
  const result = await runLoad({ ...load, durationMs });
  const cpuMs = Object.fromEntries(Object.entries(used()).map(([group, ms]) => [group, ms / result.completed]));
  return { load: result, cpuMs };
}

async function measureEdgeplane(round: number): Promise<Measured> {
  const stateDir = join(root, `stack-${round}`);
  const models = join(root, `models-${round}`);
  for (const name of [MODEL, "hello-world"]) {
    cpSync(join(repository, "examples", name), join(models, name), { recursive: true });
  }
  const stack = await startStack({ port, stateDir, models });
  try {
    await helloThrough(stack);
    const { workerd, edge, pool } = stack.pids();
    if (workerd === null || edge === null || pool === null) throw new Error("the stack is not up");
    return await measure(
      {
        url: `${stack.url}/v1/models/local/${MODEL}/predictions`,
        headers: { authorization: `Bearer ${stack.apiKey}`, prefer: "wait=60" },
        expect: '"succeeded"',
      },
      () => ({ workerd: [workerd], "edge process": [edge], pool: [pool], "model process": descendantsOf(pool) }),
    );
  } finally {
    await stack.stop();
  }
}

async function measureRival(name: RivalName): Promise<Measured> {
  const rival = await startRival(name, rivalPython, example, port, body);
  try {
    return await measure({ url: rival.url, headers: {}, expect: '"output"' }, () => ({
      "all processes": [rival.pid, ...descendantsOf(rival.pid)],
    }));
  } finally {
    await rival.stop();
  }
}

process.env["EDGEPLANE_ENVIRONMENTS_DIR"] = join(kept, "environments");
const { python } = await prepareEnvironment({
  modelDir: example,
  cog: parseCogYaml(readFileSync(join(example, "cog.yaml"), "utf8")),
  environmentsDir: join(kept, "environments"),
  log: (line) => console.log(`environment │ ${line}`),
});
const rivalPython = installRivals(kept, join(example, "requirements.txt"));
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}, ${rivalVersions(rivalPython)}`);

const measured = new Map<Side, Measured[]>(sides.map((side) => [side, []]));
const bareRates: number[] = [];
const bareCpuMs: number[] = [];
try {
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    const bare = await startBareLoop(python, example, "embedder");
    const { batch } = await bestBatch(bare, [text], BATCHES, 0.5);
    const used = measureCpu({ bare: [bare.pid] });
    const rate = await bare.measure([text], batch, durationMs / 1000);
    bareRates.push(rate);
    bareCpuMs.push(used().bare / (rate * (durationMs / 1000)));
    bare.stop();
    for (const side of sides) {
      const one = side === "edgeplane" ? await measureEdgeplane(round) : await measureRival(side);
      measured.get(side)?.push(one);
      console.log(
        `round ${round} ${NAMES[side]}: ${one.load.perSecond.toFixed(0)}/s, p99 ${one.load.p99Ms.toFixed(0)} ms`,
      );
    }
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}

const bareCpu = median(bareCpuMs);
const rateOf = (side: Side): number => median((measured.get(side) ?? []).map(({ load }) => load.perSecond));
const rows = sides.map((side) => {
  const all = measured.get(side) ?? [];
  const totals = all.map(({ cpuMs }) => Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0) - bareCpu);
  return [
    NAMES[side],
    spread(
      all.map(({ load }) => load.perSecond),
      0,
    ),
    `${((rateOf(side) / median(bareRates)) * 100).toFixed(0)} %`,
    spread(all.map(({ load }) => load.p50Ms)),
    spread(all.map(({ load }) => load.p99Ms)),
    spread(totals, 2),
  ];
});
console.log(
  table(
    [
      `MiniLM, one sentence a request, ${CLIENTS} clients`,
      "requests/s",
      "of the bare loop",
      "p50 ms",
      "p99 ms",
      "CPU-ms beside the model",
    ],
    [
      [
        "bare Python loop, at its best batch",
        spread(bareRates, 0),
        "100 %",
        "",
        "",
        `0 (the model: ${bareCpu.toFixed(2)})`,
      ],
      ...rows,
    ],
  ),
);
const groups = new Map<string, number[]>();
for (const { cpuMs } of measured.get("edgeplane") ?? []) {
  for (const [group, ms] of Object.entries(cpuMs)) groups.set(group, [...(groups.get(group) ?? []), ms]);
}
console.log(
  table(
    ["Edgeplane, CPU-ms a prediction", "median (least–most)"],
    [...groups].map(([group, all]) => [group, spread(all, 2)]),
  ),
);
const best = Math.max(...sides.filter((side) => side !== "edgeplane").map(rateOf));
const ratio = rateOf("edgeplane") / best;
console.log(`Edgeplane beside the best of the others: ${ratio.toFixed(2)} (must ${MUST}, aim 1.0)`);
process.exitCode = ratio >= MUST ? 0 : 1;
