/** A model in a bare Python loop (bare_loop.py), kept loaded between measurements. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import * as z from "zod";

const script = fileURLToPath(new URL("bare_loop.py", import.meta.url));
const DeviceSchema = z.object({ device: z.string() });
const ResultSchema = z.object({ sentences: z.number(), seconds: z.number() });

export type BareLoop = {
  /** `cpu`, or the CUDA device. */
  device: string;
  pid: number;
  /** Sentences per second, `batch` of `texts` at a time. */
  measure(texts: readonly string[], batch: number, seconds: number): Promise<number>;
  stop(): void;
};

/** Loads `Embedder` of `module` in `folder`. Rejects when Python can't. */
export async function startBareLoop(python: string, folder: string, module: string): Promise<BareLoop> {
  const child = spawn(python, [script, folder, module], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const failed = new Promise<never>((_resolve, reject) => {
    child.once("error", (error) => reject(new Error(`${python} could not be started: ${error.message}`)));
  });
  failed.catch(() => {});
  const answer = async (): Promise<unknown> => {
    const { value, done } = await Promise.race([lines.next(), failed]);
    if (done === true) throw new Error(`${python} could not run the bare loop of ${folder}`);
    return JSON.parse(value);
  };
  const { device } = DeviceSchema.parse(await answer());
  return {
    device,
    pid: child.pid ?? 0,
    async measure(texts, batch, seconds) {
      child.stdin.write(`${JSON.stringify({ texts, batch, seconds })}\n`);
      const result = ResultSchema.parse(await answer());
      return result.sentences / result.seconds;
    },
    stop: () => void child.kill(),
  };
}

/** The batch size with the highest rate, and that rate. */
export async function bestBatch(
  loop: BareLoop,
  texts: readonly string[],
  sizes: readonly number[],
  seconds: number,
): Promise<{ batch: number; perSecond: number }> {
  let best = { batch: 1, perSecond: 0 };
  for (const batch of sizes) {
    const perSecond = await loop.measure(texts, batch, seconds);
    if (perSecond > best.perSecond) best = { batch, perSecond };
  }
  return best;
}
