/**
 * The pool program without an edge, so that the pool and the model are what is measured. For rates an empty edge stands
 * in; the small one of the tests, which runs the edge's own rules, where something goes wrong.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startFakeEdge } from "../../integration/pool/fake-edge.ts";
import { refOf, startPool } from "../../integration/pool/pool-process.ts";
import type { RunningPool } from "../../integration/pool/pool-process.ts";
import { StatusSchema } from "../../../gpu-pool/telemetry/status.ts";
import type { Status } from "../../../gpu-pool/telemetry/status.ts";
import type { Json, ModelRef } from "../../../src/contract/prediction.ts";
import { startEmptyEdge } from "./empty-edge.ts";
import type { End } from "./empty-edge.ts";

/** The first waits for a model's set-up. */
const LIMIT_MS = 300_000;
const HELLO_MS = 30_000;
const WATCH_MS = 1000;

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

/** The edge of a bench: it submits a prediction, and resolves with the last event of it. */
type StandIn = {
  url: string;
  token: string;
  connected(): Promise<void>;
  submit(model: ModelRef, input: Json): Promise<End>;
  close(): Promise<void>;
};

export type PoolAloneOptions = {
  flags?: readonly string[];
  env?: Record<string, string>;
  /** `empty`: it does nothing but grant and take. `rules`: the tests', which judges, retries and times out. */
  edge: "empty" | "rules";
};

/** `prepare` fills the folder of models. */
export async function startPoolAlone(
  prepare: (models: string) => void,
  { flags = [], env = {}, edge: kind }: PoolAloneOptions,
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
  const edge = kind === "empty" ? await startEmptyEdge() : await startEdgeOfRules();
  const pool = startPool(home, edge.url, edge.token, ["--idle-stop-ms", "0", "--silence-ms", "30000", ...flags], env);
  const stop = async (): Promise<void> => {
    await pool.kill("SIGTERM");
    await edge.close();
    home.remove();
  };
  const watched = createWatch(pool);
  await watched(HELLO_MS, () => edge.connected()).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const runOne = async (model: string, input: Json) =>
    watched(LIMIT_MS, async () => edge.submit(await refOf(home, model), input));
  const runGood = async (ref: ModelRef, input: Json, ended: () => void): Promise<void> => {
    const end = await edge.submit(ref, input);
    ended();
    if (end.type !== "succeeded") throw new Error(JSON.stringify(end).slice(0, 500));
  };

  return {
    pid: pool.process.pid ?? 0,
    async drive(model, input, inFlight, durationMs) {
      const ref = await refOf(home, model);
      await watched(LIMIT_MS, () => edge.submit(ref, input));
      const startedAt = performance.now();
      let completed = 0;
      await watched(LIMIT_MS, (ended) => {
        const worker = async () => {
          while (performance.now() - startedAt < durationMs) {
            await runGood(ref, input, ended);
            completed += 1;
          }
        };
        return Promise.all(Array.from({ length: inFlight }, worker));
      });
      return (completed / (performance.now() - startedAt)) * 1000;
    },
    async run(model, input) {
      const startedAt = performance.now();
      const end = await runOne(model, input);
      const ms = performance.now() - startedAt;
      if (end.type === "succeeded") return { isGood: true, ms, output: end.output ?? null, problem: null };
      return { isGood: false, ms, output: null, problem: end.error.message };
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
      await watched(LIMIT_MS, (ended) => {
        const worker = async () => {
          for (const input of rest) await runGood(ref, input, ended);
        };
        return Promise.all(Array.from({ length: inFlight }, worker));
      });
      return (inputs.length / (performance.now() - startedAt)) * 1000;
    },
    async status() {
      return StatusSchema.parse(await (await fetch(`http://127.0.0.1:${await pool.port()}/status`)).json());
    },
    async metrics() {
      return (await fetch(`http://127.0.0.1:${await pool.port()}/metrics`)).text();
    },
    stop,
  };
}

/**
 * The empty edge waits for ever, so a bench watches: what it returns rejects when the pool ends, or when nothing ended
 * for `limitMs`.
 */
function createWatch({ exited, output }: Pick<RunningPool, "exited" | "output">) {
  return async <T>(limitMs: number, begin: (ended: () => void) => Promise<T>): Promise<T> => {
    const bad = Promise.withResolvers<never>();
    let endedAt = performance.now();
    let isOver = false;
    void exited.then((code) => isOver || bad.reject(new Error(`the pool ended (${code}):\n${output().slice(-2000)}`)));
    const timer = setInterval(() => {
      if (performance.now() - endedAt > limitMs) bad.reject(new Error(`nothing ended for ${limitMs} ms`));
    }, WATCH_MS);
    try {
      return await Promise.race([begin(() => (endedAt = performance.now())), bad.promise]);
    } finally {
      isOver = true;
      clearInterval(timer);
    }
  };
}

async function startEdgeOfRules(): Promise<StandIn> {
  const edge = await startFakeEdge();
  return {
    url: edge.url,
    token: edge.token,
    connected: () => edge.until(() => edge.hellos.length > 0, HELLO_MS, "the pool's hello"),
    async submit(model, input) {
      const tracked = edge.submit(model, input, { endInMs: LIMIT_MS, startInMs: LIMIT_MS });
      await edge.until(() => tracked.terminal !== null, LIMIT_MS, "a prediction");
      const { terminal } = tracked;
      edge.predictions.delete(tracked.id);
      if (terminal?.type === "succeeded" || terminal?.type === "failed") return terminal;
      throw new Error(`prediction ${tracked.id} was canceled`);
    },
    close: () => edge.close(),
  };
}

/** Where this file's repository begins. */
export const repository = dirname(dirname(dirname(import.meta.dirname)));
