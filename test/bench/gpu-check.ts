/**
 * `scripts/gpu-check`: examples/torch-fp16 in a bare loop and through the pool, on this machine's GPU. Nothing is
 * installed and nothing but loopback is spoken to: the pool's edge is the small one of the tests.
 */
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import { DeviceWatch } from "../../gpu-pool/runtime/devices/device-watch.ts";
import { systemClock } from "../../gpu-pool/system-clock.ts";
import { checkFaults } from "./lib/gpu-faults.ts";
import { measureRates } from "./lib/gpu-rates.ts";
import type { Rates } from "./lib/gpu-rates.ts";
import { checkSurvival } from "./lib/gpu-survival.ts";
import { machine } from "./lib/machine.ts";
import { repository } from "./lib/pool-alone.ts";
import { table } from "./lib/stats.ts";

const MODEL = "torch-fp16";
/** The longest that the model takes. */
const PAGE_BYTES = 512;
/** Python writes the outputs of one process in one thread at a time: several processes do it side by side. */
const PROCESSES_BESIDE = 4;
/** On a GPU: through the pool, of the bare loop's rate; and how busy NVML must find the card. */
const FULL_RATE = 0.97;
const FULL_BUSY_PERCENT = 95;

const help = `scripts/gpu-check: what a GPU does with examples/torch-fp16 (a transformer of BERT base's size, fp16), in a bare
Python loop and through the pool, as a table, for a line and for a page of text; then a card's errors, a cold start, two
models that share a card, inputs that exhaust its memory, and killed processes. Without a GPU it runs on the CPU in
float32, with a fake card, and says so. Ends within 8 minutes.

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
const source = join(repository, "examples", MODEL);
const texts = readFileSync(join(repository, "examples/sentence-embeddings/sonnets.txt"), "utf8").trim().split("\n");
const [line = ""] = texts.toSorted((a, b) => b.length - a.length);
const page = Buffer.from(texts.join(" ")).subarray(0, PAGE_BYTES).toString();

console.log(`machine: ${machine()}`);
console.log(
  `device: ${onGpu ? `${device.name}, CUDA ${torch.cuda}` : `the CPU: ${device?.kind === "cuda" ? "this PyTorch has no CUDA" : "no GPU was found"}`}; PyTorch ${torch.torch}`,
);

/** Puts the example as a pool on this machine runs it into a folder: switched on, with the PyTorch that is here. */
function copyModel(folder: string, processes = 1): void {
  cpSync(source, folder, { recursive: true });
  const cog = readFileSync(join(source, "cog.yaml"), "utf8")
    .replace(/^ {2}python_(version|requirements): .*\n/gm, "")
    .replace("enabled: false", "enabled: true")
    .replace(/maxBatchSize: \d+/, `maxBatchSize: ${limit}`)
    .replace(/\n*$/, processes === 1 ? "\n" : `\n  instances: { count: ${processes} }\n`);
  writeFileSync(join(folder, "cog.yaml"), cog);
}

process.env["EDGEPLANE_PYTHON"] = options.python;
const rates: Rates[] = [];
for (const text of onGpu ? [line, page] : [line]) {
  const one = await measureRates({
    ...{ python: options.python, source, model: MODEL, copyModel, text, sizes, limit },
    ...{ seconds: options.seconds, rounds: options.rounds, cardId: onGpu ? device.id : null },
    processes: onGpu ? [1, PROCESSES_BESIDE] : [1],
  });
  console.log(one.table);
  rates.push(one);
}
const findings = [
  ...(await checkFaults(onGpu ? device.name : null)),
  ...(await checkSurvival(copyModel, line, onGpu ? device.memoryBytes : null)),
];
console.log(
  table(
    [`what goes wrong${onGpu ? "" : " (on the CPU; the card is a fake one)"}`, "what came of it", ""],
    findings.map(({ what, result, isGood }) => [what, result, isGood ? "good" : "bad"]),
  ),
);
const isMet = rates.every(({ ofBare, busy }) => ofBare >= FULL_RATE && (busy === null || busy >= FULL_BUSY_PERCENT));
process.exitCode = findings.every(({ isGood }) => isGood) && (!onGpu || isMet) ? 0 : 1;

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
