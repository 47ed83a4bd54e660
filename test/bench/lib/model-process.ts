/** One model process of the pool's runtime, with nothing above it: what a round trip and a file cost. */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import type { RunMessage, SlotMessage } from "../../../gpu-pool/runtime/child-messages.ts";
import { ModelProcess } from "../../../gpu-pool/runtime/model-process.ts";
import { systemClock } from "../../../gpu-pool/system-clock.ts";
import { repository } from "./pool-alone.ts";
import { quantile } from "./stats.ts";

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

const BARE_ECHO = `import socket

end = socket.socket(fileno=3)
while data := end.recv(1 << 16):
    end.sendall(data)
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
    jail: null,
    cudaVisibleDevices: "",
    clock: systemClock,
    setupTimeoutMs: 30_000,
    progressMs: null,
    silenceMs: 30_000,
    healthEveryMs: 30_000,
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

export type RoundTrips = { model: Quantiles; bare: Quantiles };
type Quantiles = { p50Us: number[]; p99Us: number[] };

/**
 * Round trips of 1 KiB, in alternating rounds: a run with its result and the slot free again, and beside it the least
 * that any such trip costs here, a Python that sends back what it reads. One p50 and one p99 a round.
 */
export async function roundTrips(root: string, rounds: number, count: number): Promise<RoundTrips> {
  const model = await start(root, "echo", ECHO);
  const bare = startBareEcho();
  const input = { text: "x".repeat(1024) };
  const modelTrip = async () => {
    const done = await model.run(input);
    if (done?.type !== "done" || !isDeepStrictEqual(done.output, input.text)) throw new Error("it did not come back");
  };
  const trips: RoundTrips = { model: { p50Us: [], p99Us: [] }, bare: { p50Us: [], p99Us: [] } };
  await timed(WARM_UP, modelTrip);
  await timed(WARM_UP, bare.trip);
  for (let round = 0; round < rounds; round += 1) {
    note(trips.model, await timed(count, modelTrip));
    note(trips.bare, await timed(count, bare.trip));
  }
  model.stop();
  bare.stop();
  return trips;
}

async function timed(count: number, trip: () => Promise<void>): Promise<number[]> {
  const timesUs: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const sentAt = performance.now();
    await trip();
    timesUs.push((performance.now() - sentAt) * 1000);
  }
  return timesUs;
}

function note(into: Quantiles, timesUs: number[]): void {
  into.p50Us.push(quantile(timesUs, 0.5));
  into.p99Us.push(quantile(timesUs, 0.99));
}

/** A Python process that sends back the bytes that it reads, over the kind of socket that a slot is. */
function startBareEcho(): { trip(): Promise<void>; stop(): void } {
  const child = spawn(process.env["EDGEPLANE_PYTHON"] ?? "python3", ["-c", BARE_ECHO], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const socket = child.stdio[3];
  if (!(socket instanceof Duplex)) throw new Error("the bare echo has no socket");
  const bytes = Buffer.alloc(1024, "x");
  let missing = 0;
  let back = () => {};
  socket.on("data", (data: Buffer) => {
    missing -= data.length;
    if (missing === 0) back();
  });
  return {
    trip: () =>
      new Promise((resolve) => {
        missing = bytes.length;
        back = resolve;
        socket.write(bytes);
      }),
    stop: () => child.kill("SIGKILL"),
  };
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
