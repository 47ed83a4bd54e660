/**
 * The pool program without an edge: a small one of the tests stands in, so that the pool and the model are what is
 * measured.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startFakeEdge } from "../../integration/pool/fake-edge.ts";
import type { Tracked } from "../../integration/pool/fake-edge.ts";
import { refOf, startPool } from "../../integration/pool/pool-process.ts";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import type { Status } from "../../../gpu-pool/telemetry/status.ts";
import type { Json } from "../../../src/contract/prediction.ts";

const FIRST_LIMIT_MS = 300_000;

export type PoolAlone = {
  pid: number;
  /** Runs predictions of `model` for a while, `inFlight` at a time; predictions per second. Rejects when one fails. */
  drive(model: string, input: Json, inFlight: number, durationMs: number): Promise<number>;
  /** Runs one prediction to its end; `problem`: why it failed. */
  run(model: string, input: Json): Promise<{ isGood: boolean; ms: number; output: Json; problem: string | null }>;
  /** A gauge of `/metrics` for a model; null when it isn't there. */
  gauge(name: string, model: string): Promise<number | null>;
  /** Runs one prediction of `model` for each of `inputs`, `inFlight` at a time; predictions per second. */
  runAll(model: string, inputs: readonly Json[], inFlight: number): Promise<number>;
  status(): Promise<Status>;
  /** What the pool's metrics say now. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
};

/** `prepare` fills the folder of models. */
export async function startPoolAlone(
  prepare: (models: string) => void,
  flags: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<PoolAlone> {
  const root = mkdtempSync(join(tmpdir(), "edgeplane-bench-pool-"));
  // Isolated models may run as other users.
  chmodSync(root, 0o755);
  const home = {
    root,
    models: join(root, "models"),
    state: join(root, "state"),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
  for (const folder of [home.models, home.state]) mkdirSync(folder, { recursive: true });
  prepare(home.models);
  const edge = await startFakeEdge();
  const pool = startPool(home, edge.url, edge.token, ["--idle-stop-ms", "0", "--silence-ms", "30000", ...flags], env);
  await edge.until(() => edge.hellos.length > 0, 30_000, "the pool's hello");
  const finished = ({ terminal }: Tracked) => terminal !== null;

  return {
    pid: pool.process.pid ?? 0,
    async drive(model, input, inFlight, durationMs) {
      const ref = await refOf(home, model);
      const first = edge.submit(ref, input, { endInMs: FIRST_LIMIT_MS, startInMs: FIRST_LIMIT_MS });
      await edge.until(() => finished(first), FIRST_LIMIT_MS, "the first prediction");
      const startedAt = performance.now();
      let completed = 0;
      const worker = async () => {
        while (performance.now() - startedAt < durationMs) {
          const tracked = edge.submit(ref, input);
          await edge.until(() => finished(tracked), 60_000, "a prediction");
          if (tracked.terminal?.type !== "succeeded") throw new Error(JSON.stringify(tracked.terminal).slice(0, 500));
          edge.predictions.delete(tracked.id);
          completed += 1;
        }
      };
      await Promise.all(Array.from({ length: inFlight }, worker));
      return (completed / (performance.now() - startedAt)) * 1000;
    },
    async run(model, input) {
      const startedAt = performance.now();
      const ref = await refOf(home, model);
      const tracked = edge.submit(ref, input, { endInMs: FIRST_LIMIT_MS, startInMs: FIRST_LIMIT_MS });
      await edge.until(() => finished(tracked), FIRST_LIMIT_MS, "a prediction");
      const ms = performance.now() - startedAt;
      const { terminal } = tracked;
      if (terminal?.type === "succeeded") return { isGood: true, ms, output: terminal.output ?? null, problem: null };
      const problem = terminal?.type === "failed" ? terminal.error.message : "it was canceled";
      return { isGood: false, ms, output: null, problem };
    },
    async gauge(name, model) {
      const text = await (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
      const line = text.split("\n").find((one) => one.startsWith(`${name}{`) && one.includes(`/${model}"`));
      return line === undefined ? null : Number(line.slice(line.lastIndexOf(" ")));
    },
    async runAll(model, inputs, inFlight) {
      const ref = await refOf(home, model);
      const rest = inputs[Symbol.iterator]();
      const startedAt = performance.now();
      const worker = async () => {
        for (const input of rest) {
          const tracked = edge.submit(ref, input, { endInMs: FIRST_LIMIT_MS, startInMs: FIRST_LIMIT_MS });
          await edge.until(() => finished(tracked), FIRST_LIMIT_MS, "a prediction");
          if (tracked.terminal?.type !== "succeeded") throw new Error(JSON.stringify(tracked.terminal).slice(0, 500));
          edge.predictions.delete(tracked.id);
        }
      };
      await Promise.all(Array.from({ length: inFlight }, worker));
      return (inputs.length / (performance.now() - startedAt)) * 1000;
    },
    async status() {
      return StatusSchema.parse(await (await fetch(`http://127.0.0.1:${await pool.port()}/status`)).json());
    },
    async metrics() {
      return (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
    },
    async stop() {
      await pool.kill("SIGTERM");
      await edge.close();
      home.remove();
    },
  };
}

/** Where this file's repository begins. */
export const repository = dirname(dirname(dirname(import.meta.dirname)));
