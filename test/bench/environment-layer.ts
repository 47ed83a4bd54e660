/**
 * How long a fresh host takes to its environment: unpacked as another host has built it, from a real edge on this
 * machine, beside pip and, where it is on the PATH, uv, which install the same set from wheels on this disk, with an
 * empty cache. No way downloads anything, so the peers are at their best; rounds take turns. Besides: what storing
 * takes, and what of a second environment is sent that has one package more.
 *
 *   node test/bench/environment-layer.ts [--packages "numpy==2.2.6 scipy==1.15.3"] [--more six==1.17.0] [--rounds 3]
 * [--wheels FOLDER]
 *
 * `--wheels` keeps the wheels; without them they come from the registry once.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { CogYamlSchema } from "../../gpu-pool/runtime/environments/cog-yaml.ts";
import { prepareEnvironment } from "../../gpu-pool/runtime/environments/index.ts";
import type { PreparedEnvironment } from "../../gpu-pool/runtime/environments/index.ts";
import { findUv } from "../../gpu-pool/runtime/environments/uv.ts";
import { EnvironmentLayers } from "../../gpu-pool/layers/environment-layers.ts";
import { createHttpClient } from "../../gpu-pool/transport/http-client.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

const TICKS_PER_SECOND = 100;

offerHelp(import.meta.url);
const { values } = parseArgs({
  options: {
    packages: {
      type: "string",
      default: "numpy==2.2.6 scipy==1.15.3 pandas==2.2.3 scikit-learn==1.6.1 transformers==4.52.4",
    },
    more: { type: "string", default: "six==1.17.0" },
    rounds: { type: "string", default: "3" },
    wheels: { type: "string" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "edgeplane-bench-layer-"));
const wheels = values.wheels ?? join(folder, "wheels");
const packages = values.packages.split(/\s+/);

download();
Object.assign(process.env, { PIP_NO_INDEX: "1", PIP_FIND_LINKS: wheels, PIP_NO_CACHE_DIR: "1" });
Object.assign(process.env, { UV_NO_INDEX: "1", UV_FIND_LINKS: wheels });
const uv = await findUv();
console.log(`${machine()}\n${versions(["miniflare", "workerd"])}\n`);
const stack = await startStack({ stateDir: join(folder, "state"), pool: false, offline: true });
const http = createHttpClient(new URL(stack.url), { authorization: `Bearer ${stack.poolToken}` });
try {
  await measure();
} finally {
  http.close();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}

function download(): void {
  mkdirSync(wheels, { recursive: true });
  const args = ["-m", "pip", "download", "-q", "--only-binary", ":all:", "--find-links", wheels, "-d", wheels];
  execFileSync("python3", [...args, ...packages, values.more], { stdio: ["ignore", "inherit", "inherit"] });
}

type Way = "layer" | "pip" | "uv";

async function measure(): Promise<void> {
  const builder = layersOf(join(folder, "builder"));
  const built = await prepare(join(folder, "builder"), packages, builder, uv === null ? "pip" : "uv");
  const storing = await timed(async () => builder.settled());
  if (builder.state.stored !== 1) throw new Error(`it was not stored: ${builder.state.problem}`);
  const before = await storedBytes();
  console.log(
    `the environment: ${megabytes(built.sizeBytes ?? 0)} on disk; stored in ${storing.seconds.toFixed(1)} s, ${megabytes(before)} sent`,
  );
  const ways: Way[] = uv === null ? ["layer", "pip"] : ["layer", "pip", "uv"];
  const took = new Map(ways.map((way) => [way, { seconds: [] as number[], cpu: [] as number[] }]));
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const way of ways) {
      const host = join(folder, `${way}-${round}`);
      process.env["UV_CACHE_DIR"] = join(host, "uv-cache");
      const layers = layersOf(host);
      const { seconds, cpu, value } = await timed(async () =>
        prepare(host, packages, way === "layer" ? layers : null, way),
      );
      if (value.isUnpacked !== (way === "layer")) throw new Error(`${way}: ${layers.state.problem}`);
      execFileSync(value.python, ["-c", `import ${packages[0]?.split(/[=<>[]/)[0]?.replaceAll("-", "_")}`]);
      took.get(way)?.seconds.push(seconds);
      took.get(way)?.cpu.push(cpu);
      layers.stop();
      rmSync(host, { recursive: true });
    }
  }
  console.log(
    table(
      ["way", "seconds: median (least–most)", "CPU of the pool and what it starts, s"],
      [...took].map(([way, { seconds, cpu }]) => [way, spread(seconds, 1), spread(cpu, 1)]),
    ),
  );
  const layer = median(took.get("layer")?.seconds ?? []);
  for (const way of ways.slice(1))
    console.log(`${way} beside the layer: ${(median(took.get(way)?.seconds ?? []) / layer).toFixed(1)}×`);
  const second = layersOf(join(folder, "second"));
  await prepare(join(folder, "second"), [...packages, values.more], second, uv === null ? "pip" : "uv");
  await second.settled();
  console.log(
    `with ${values.more} besides: ${megabytes((await storedBytes()) - before)} sent (stored: ${second.state.stored})`,
  );
}

function layersOf(environmentsDir: string): EnvironmentLayers {
  return new EnvironmentLayers({
    http,
    log: pino({ level: "silent" }),
    environmentsDir,
    budgetBytes: Infinity,
    leastFreeBytes: 0,
    isBusy: () => false,
    isShort: () => false,
  });
}

async function prepare(
  environmentsDir: string,
  wanted: readonly string[],
  layers: EnvironmentLayers | null,
  way: Way,
): Promise<PreparedEnvironment> {
  process.env["EDGEPLANE_UV"] = way === "pip" ? "" : (uv ?? "");
  mkdirSync(environmentsDir, { recursive: true });
  return prepareEnvironment({
    modelDir: folder,
    cog: CogYamlSchema.parse({ build: { python_packages: wanted } }),
    environmentsDir,
    log: () => {},
    ...(layers === null ? {} : { others: { layers, owner: "local", cuda: null, gpus: [] } }),
  });
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; seconds: number; cpu: number }> {
  const [startedAt, before] = [performance.now(), cpuSeconds()];
  const value = await work();
  return { value, seconds: (performance.now() - startedAt) / 1000, cpu: cpuSeconds() - before };
}

/** Of this process and of those that it has started and that have ended. Source: proc(5), /proc/pid/stat. */
function cpuSeconds(): number {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** What the owner's environments take at the edge, each chunk once. */
async function storedBytes(): Promise<number> {
  const text = execFileSync("du", ["-sk", "--apparent-size", join(folder, "state")], { encoding: "utf8" });
  return Promise.resolve(Number(/^\d+/.exec(text)?.[0] ?? 0) * 1024);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
