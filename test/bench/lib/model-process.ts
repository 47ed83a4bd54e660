/** One model process of the pool's runtime, with nothing above it: what a round trip and a file cost. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { RunMessage, SlotMessage } from "../../../gpu-pool/runtime/child-messages.ts";
import { ModelProcess } from "../../../gpu-pool/runtime/model-process.ts";
import { systemClock } from "../../../gpu-pool/system-clock.ts";
import { repository } from "./pool-alone.ts";

const WARM_UP = 500;
const FILE_BYTES = 64 * 1024 * 1024;

const ECHO = `from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, text: str) -> str:
        return text
`;
const COPY = `import tempfile

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self, file: Path) -> Path:
        out = Path(tempfile.gettempdir()) / "edgeplane-bench-copy.bin"
        out.write_bytes(file.read_bytes())
        return out
`;

type Running = { scratchDir: string; run(input: { [key: string]: string }): Promise<SlotMessage | null>; stop(): void };

/** Starts a model of one file. `run` resolves with its `done` once its slot is free. */
async function start(root: string, name: string, code: string): Promise<Running> {
  const modelDir = join(root, name);
  const scratchDir = join(root, `${name}-scratch`);
  mkdirSync(modelDir);
  writeFileSync(join(modelDir, "run.py"), code);
  writeFileSync(join(modelDir, "cog.yaml"), 'run: "run.py:Runner"\n');
  let done: SlotMessage | null = null;
  let free: (message: SlotMessage | null) => void = () => {};
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const child = new ModelProcess({
    python: process.env["EDGEPLANE_PYTHON"] ?? "python3",
    env: { TMPDIR: root },
    modelDir,
    childPath: join(repository, "gpu-pool/python"),
    childModule: "edgeplane_child",
    slots: 1,
    scratchDir,
    cudaVisibleDevices: "",
    clock: systemClock,
    setupTimeoutMs: 30_000,
    silenceMs: 30_000,
    onLoaded: () => {},
    onReady: () => resolve(),
    onSlotMessage(_slot, message) {
      if (message.type === "done") done = message;
      else if (message.type === "idle") free(done);
    },
    onPrinted: () => {},
    onGone: ({ why }) => reject(new Error(`the model process of ${name} is gone: ${why}`)),
  });
  await ready;
  let batch = 0;
  return {
    scratchDir,
    run(input) {
      batch += 1;
      const message: RunMessage = {
        type: "run",
        batch,
        items: [{ id: `p${batch}`, input, stream: false, context: {} }],
      };
      return new Promise((settled) => {
        free = settled;
        child.run(message);
      });
    },
    stop: () => child.kill("the bench is over"),
  };
}

/** Milliseconds of each round trip: a run with 1 KiB there, and 1 KiB back with the slot free again. */
export async function roundTrip(root: string, count: number): Promise<number[]> {
  const model = await start(root, "echo", ECHO);
  const input = { text: "x".repeat(1024) };
  const times: number[] = [];
  for (let index = 0; index < WARM_UP + count; index += 1) {
    const sentAt = performance.now();
    const done = await model.run(input);
    if (index >= WARM_UP) times.push(performance.now() - sentAt);
    if (done?.type !== "done" || !isDeepStrictEqual(done.output, input.text)) throw new Error("it did not come back");
  }
  model.stop();
  return times;
}

/** MB/s of each time that a file of 64 MiB goes in, is read and written by the model, and comes out. */
export async function fileRate(root: string, count: number): Promise<number[]> {
  const model = await start(root, "copy", COPY);
  const content = Buffer.alloc(FILE_BYTES, "edgeplane");
  const rates: number[] = [];
  for (let index = 0; index <= count; index += 1) {
    const file = join(model.scratchDir, `in-${index}.bin`);
    writeFileSync(file, content);
    const sentAt = performance.now();
    const done = await model.run({ file });
    const elapsedMs = performance.now() - sentAt;
    if (done?.type !== "done" || done.status !== "succeeded") throw new Error(JSON.stringify(done));
    if (index > 0) rates.push((2 * FILE_BYTES) / 1e6 / (elapsedMs / 1000));
    for (const [, path] of JSON.stringify(done.output).matchAll(/"\$file":"([^"]+)"/g)) rmSync(path ?? "");
  }
  model.stop();
  return rates;
}
