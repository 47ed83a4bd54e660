/**
 * Fuzzes every decoder that strangers reach: `node test/fuzz/main.ts [--inputs 1000000] [--seed n] [--only name]`. The
 * work is done in a thread, so that an input that hangs it is noticed, and told by the seed and the number that make it
 * again.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { PROPERTY_SEED } from "../property-seed.ts";
import { decoders, inputsOf } from "./run.ts";

const HELP = `Feeds every decoder that strangers reach with hostile inputs, and fails at the first that it can't bear.

  node test/fuzz/main.ts [options]

  --inputs <n>   how many inputs in all (1000000)
  --seed <n>     draws other inputs (default ${PROPERTY_SEED})
  --only <text>  only decoders whose name contains it
  --help         this text`;

/** An input that takes this long hangs. */
const HANG_MS = 20_000;

type Job = { inputs: number; seed: number; only: string; progress: Int32Array };

if (isMainThread) await supervise();
else await work(workerData as Job);

async function supervise(): Promise<void> {
  const { values } = parseArgs({
    options: {
      inputs: { type: "string" },
      seed: { type: "string" },
      only: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return console.log(HELP);
  const inputs = Number(values.inputs ?? 1_000_000);
  const seed = Number(values.seed ?? PROPERTY_SEED);
  if (!Number.isInteger(inputs) || inputs < 1 || !Number.isInteger(seed)) {
    console.error("--inputs and --seed take whole numbers");
    process.exitCode = 2;
    return;
  }
  console.log(`fuzz: ${inputs} inputs, seed ${seed}`);
  const progress = new Int32Array(new SharedArrayBuffer(8));
  const job: Job = { inputs, seed, only: values.only ?? "", progress };
  const thread = new Worker(fileURLToPath(import.meta.url), { workerData: job });
  let seen = "";
  let since = Date.now();
  const watch = setInterval(() => {
    const now = progress.join();
    if (now !== seen) [seen, since] = [now, Date.now()];
    else if (Date.now() - since > HANG_MS) {
      const name = decoders[progress[0] ?? 0]?.name;
      console.error(`fuzz: "${name}" hangs at its input ${progress[1]}, seed ${seed}`);
      process.exit(1);
    }
  }, 1000);
  await new Promise((resolve) => {
    thread.once("error", (error) => {
      console.error(error);
      process.exitCode = 1;
    });
    thread.once("exit", resolve);
  });
  clearInterval(watch);
}

async function work({ inputs, seed, only, progress }: Job): Promise<void> {
  const startedAt = Date.now();
  let total = 0;
  for (const [index, one] of decoders.entries()) {
    if (!one.name.includes(only)) continue;
    const [from, ownTotal] = [Date.now(), inputsOf(one, inputs)];
    Atomics.store(progress, 0, index);
    Atomics.store(progress, 1, 0);
    try {
      await one.run(ownTotal, seed, () => Atomics.add(progress, 1, 1));
    } catch (thrown) {
      throw new Error(`fuzz: "${one.name}" fails, seed ${seed}`, { cause: thrown });
    }
    total += ownTotal;
    console.log(`${String(ownTotal).padStart(8)} inputs ${String(Date.now() - from).padStart(7)} ms  ${one.name}`);
  }
  console.log(
    `fuzz: ${total} inputs in ${Math.round((Date.now() - startedAt) / 1000)} s; nothing crashed, nothing hung`,
  );
}
