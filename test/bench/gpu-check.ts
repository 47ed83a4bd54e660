/**
 * `scripts/gpu-check`: examples/torch-fp16 in a bare loop and through the pool, on this machine's GPU. Nothing is
 * installed and nothing but loopback is spoken to: the pool's edge is the small one of the tests.
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import { DeviceWatch } from "../../gpu-pool/runtime/devices/device-watch.ts";
import { systemClock } from "../../gpu-pool/system-clock.ts";
import { bestBatch, startBareLoop } from "./lib/bare-loop.ts";
import { checkSurvival } from "./lib/gpu-survival.ts";
import { machine } from "./lib/machine.ts";
import { repository, startPoolAlone } from "./lib/pool-alone.ts";
import { median, spread, table } from "./lib/stats.ts";

const MODEL = "torch-fp16";
const POLL_MS = 200;
const AHEAD = 3;
/** On a GPU: through the pool, of the bare loop's rate; and how busy NVML must find the card. */
const FULL_RATE = 0.97;
const FULL_BUSY_PERCENT = 95;

const help = `scripts/gpu-check: what a GPU does with examples/torch-fp16 (a transformer of BERT base's size, fp16), in a bare Python loop
and through the pool, as a table; then a cold start, two models that share a card, inputs that exhaust its memory, and
killed processes. Without a GPU it runs on the CPU in float32, with a fake card, and says so. Ends within 8 minutes.

  --python …    a Python that has PyTorch (default: EDGEPLANE_PYTHON, else python3)
  --seconds …   how long each measurement takes (default 8)
  --rounds …    how many of each (default 3)
  --batch …     the largest batch (default 128; 8 on the CPU)

Needs Node 22.18 or newer, the pool's npm packages (npm ci --omit=dev --workspace gpu-pool) and PyTorch. Installs nothing.`;

const OptionsSchema = z.object({
  python: z.string().min(1),
  seconds: z.coerce.number().min(1).max(600),
  rounds: z.coerce.number().int().min(1).max(100),
  batch: z.coerce.number().int().min(1).max(4096).optional(),
});

const options = readOptions();

const TorchSchema = z.object({ torch: z.string(), cuda: z.string().nullable() });
const probe = spawnSync(
  options.python,
  [
    "-c",
    "import json, torch; print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda if torch.cuda.is_available() else None}))",
  ],
  { encoding: "utf8" },
);
if (probe.status !== 0) {
  console.error(
    `gpu-check: ${options.python} has no PyTorch: install it (pip install torch), or name another Python with --python.`,
  );
  process.exit(2);
}
const torch = TorchSchema.parse(JSON.parse(probe.stdout));
const watch = new DeviceWatch({ clock: systemClock, visible: process.env["CUDA_VISIBLE_DEVICES"] });
await watch.look();
const [device] = watch.devices;
const onGpu = device?.kind === "cuda" && torch.cuda !== null;
const limit = options.batch ?? (onGpu ? 128 : 8);
const sizes = [1, 8, 32, 64, 128, 256].filter((size) => size <= limit);
const { seconds } = options;
const source = join(repository, "examples", MODEL);
const texts = readFileSync(join(repository, "examples/sentence-embeddings/sonnets.txt"), "utf8").trim().split("\n");
const [text = ""] = texts.toSorted((a, b) => b.length - a.length);
const tokens = Buffer.byteLength(text);

console.log(`machine: ${machine()}`);
console.log(
  `device: ${onGpu ? `${device.name}, CUDA ${torch.cuda}` : `the CPU: ${device?.kind === "cuda" ? "this PyTorch has no CUDA" : "no GPU was found"}`}; PyTorch ${torch.torch}`,
);

/**
 * Begins to ask NVML, through nvidia-smi, how busy the GPU is; the returned function ends it with the mean in percent.
 */
function watchGpu(): () => number | null {
  if (!onGpu) return () => null;
  const query = [
    "--query-gpu=utilization.gpu",
    "--format=csv,noheader,nounits",
    "-i",
    device.id,
    "-lms",
    String(POLL_MS),
  ];
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

/** Puts the example as a pool on this machine runs it into a folder: switched on, with the PyTorch that is here. */
function copyModel(folder: string): void {
  cpSync(source, folder, { recursive: true });
  const cog = readFileSync(join(source, "cog.yaml"), "utf8")
    .replace(/^ {2}python_(version|requirements): .*\n/gm, "")
    .replace("enabled: false", "enabled: true")
    .replace(/maxBatchSize: \d+/, `maxBatchSize: ${limit}`);
  writeFileSync(join(folder, "cog.yaml"), cog);
}

type Side = { rate: number[]; busy: number[] };
const sides: Record<"bare" | "pool", Side> = { bare: { rate: [], busy: [] }, pool: { rate: [], busy: [] } };

async function note(side: Side, measure: () => Promise<number>): Promise<void> {
  const stop = watchGpu();
  side.rate.push(await measure());
  const busy = stop();
  if (busy !== null) side.busy.push(busy);
}

process.env["EDGEPLANE_PYTHON"] = options.python;
const bare = await startBareLoop(options.python, source, "encoder");
const pool = await startPoolAlone((models) => copyModel(join(models, MODEL)));
try {
  const best = await bestBatch(bare, [text], sizes, Math.min(2, seconds));
  await pool.drive(MODEL, { text }, AHEAD * limit, 500);
  for (let round = 1; round <= options.rounds; round += 1) {
    await note(sides.bare, () => bare.measure([text], best.batch, seconds));
    await note(sides.pool, () => pool.drive(MODEL, { text }, AHEAD * limit, seconds * 1000));
    console.log(
      `round ${round}: bare ${(sides.bare.rate.at(-1) ?? 0).toFixed(0)}/s, through the pool ${(sides.pool.rate.at(-1) ?? 0).toFixed(0)}/s`,
    );
  }
  const row = (name: string, { rate, busy }: Side): string[] => [
    name,
    spread(rate, 1),
    (median(rate) * tokens).toFixed(0),
    `${((median(rate) / median(sides.bare.rate)) * 100).toFixed(0)} %`,
    busy.length === 0 ? "no GPU" : `${median(busy).toFixed(0)} %`,
  ];
  console.log(
    table(
      [
        `${MODEL} on ${bare.device}, ${tokens} tokens a sentence`,
        "sentences/s",
        "tokens/s",
        "of the bare loop",
        "GPU busy (NVML)",
      ],
      [
        row(`bare Python loop, ${best.batch} at a time`, sides.bare),
        row(`through the pool, batches of ${limit} at most`, sides.pool),
      ],
    ),
  );
} finally {
  bare.stop();
  await pool.stop();
}
const findings = await checkSurvival(copyModel, text, onGpu ? device.memoryBytes : null);
console.log(
  table(
    [`what goes wrong${onGpu ? "" : " (on the CPU; the card is a fake one)"}`, "what came of it", ""],
    findings.map(({ what, result, isGood }) => [what, result, isGood ? "good" : "bad"]),
  ),
);
const isFast = median(sides.pool.rate) >= FULL_RATE * median(sides.bare.rate);
const isBusy = sides.pool.busy.length === 0 || median(sides.pool.busy) >= FULL_BUSY_PERCENT;
process.exitCode = findings.every(({ isGood }) => isGood) && (!onGpu || (isFast && isBusy)) ? 0 : 1;

/** The options as they were given; ends the process where there is only something to say. */
function readOptions(): z.output<typeof OptionsSchema> {
  const parsed = OptionsSchema.safeParse(readFlags());
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return stopWith(`--${String(issue?.path[0])} is wrong: ${issue?.message}`);
}

function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: "boolean", short: "h", default: false },
        python: { type: "string", default: process.env["EDGEPLANE_PYTHON"] ?? "python3" },
        seconds: { type: "string", default: "8" },
        rounds: { type: "string", default: "3" },
        batch: { type: "string" },
      },
    });
    if (!values.help) return values;
  } catch (error) {
    return stopWith(error instanceof Error ? error.message : String(error));
  }
  console.log(help);
  return process.exit(0);
}

function stopWith(message: string): never {
  console.error(`gpu-check: ${message} (--help tells more)`);
  process.exit(2);
}
