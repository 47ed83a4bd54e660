/**
 * The load generator: POSTs one body over and over from a fixed number of clients, each with one connection that is
 * kept alive. Run as a process of its own (`runLoad`), so that its work isn't the measured server's; the same for every
 * side of a bench.
 */
import { fork } from "node:child_process";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { quantile } from "./stats.ts";

export type Load = {
  url: string;
  headers: Record<string, string>;
  body: string;
  clients: number;
  /** Ends after so many requests, or after this time, whichever is first. */
  requests?: number;
  durationMs?: number;
  /** Text that every answer must hold; one that doesn't is an error. */
  expect: string;
};

const ResultSchema = z.object({
  completed: z.number(),
  errors: z.number(),
  firstError: z.string().nullable(),
  elapsedMs: z.number(),
  perSecond: z.number(),
  p50Ms: z.number(),
  p95Ms: z.number(),
  p99Ms: z.number(),
  maxMs: z.number(),
});
export type LoadResult = z.infer<typeof ResultSchema>;

/** Runs a load in a process of its own. Rejects when an answer was wrong. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const child = fork(fileURLToPath(import.meta.url), [], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    env: { ...process.env, EDGEPLANE_BENCH_LOAD: JSON.stringify(load) },
  });
  const result = await new Promise<LoadResult>((resolve, reject) => {
    child.once("message", (message) => resolve(ResultSchema.parse(message)));
    child.once("exit", (code) => reject(new Error(`the load generator ended early (${code})`)));
  });
  child.kill();
  if (result.errors > 0)
    throw new Error(`${result.errors} of ${result.completed} answers were wrong: ${result.firstError}`);
  return result;
}

async function generate(load: Load): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.clients });
  const url = new URL(load.url);
  const options = {
    agent,
    host: url.hostname,
    port: url.port,
    path: url.pathname + url.search,
    method: "POST",
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(load.body), ...load.headers },
  };
  const latencies: number[] = [];
  let errors = 0;
  let firstError: string | null = null;
  let left = load.requests ?? Number.POSITIVE_INFINITY;
  const startedAt = performance.now();
  const end = startedAt + (load.durationMs ?? Number.POSITIVE_INFINITY);

  const post = () =>
    new Promise<void>((resolve) => {
      const sentAt = performance.now();
      const finish = (problem: string | null) => {
        latencies.push(performance.now() - sentAt);
        if (problem !== null) {
          errors += 1;
          firstError ??= problem;
        }
        resolve();
      };
      const call = request(options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => {
          const isGood = (response.statusCode ?? 500) < 300 && text.includes(load.expect);
          finish(isGood ? null : `${response.statusCode} ${text.slice(0, 300)}`);
        });
      });
      call.on("error", (error) => finish(error.message));
      call.end(load.body);
    });

  const client = async () => {
    while (left > 0 && performance.now() < end) {
      left -= 1;
      await post();
    }
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  const elapsedMs = performance.now() - startedAt;
  agent.destroy();
  return {
    completed: latencies.length,
    errors,
    firstError,
    elapsedMs,
    perSecond: (latencies.length / elapsedMs) * 1000,
    p50Ms: quantile(latencies, 0.5),
    p95Ms: quantile(latencies, 0.95),
    p99Ms: quantile(latencies, 0.99),
    maxMs: quantile(latencies, 1),
  };
}

const own = process.env["EDGEPLANE_BENCH_LOAD"];
if (own !== undefined && process.send !== undefined && import.meta.main) {
  process.send(await generate(JSON.parse(own) as Load));
}
