/**
 * Readers of event streams whose chunks begin with the time at which they were yielded, in seconds since the epoch
 * (models/token-stream). Run as a process of its own (`readStreams`), so that its work isn't the measured server's; the
 * same for every side of a bench.
 */
import { fork } from "node:child_process";
import { Agent, request } from "node:http";
import type { IncomingMessage } from "node:http";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { quantile } from "./stats.ts";

export type Readings = {
  /** One stream each, opened `everyMs` apart. */
  requests: readonly { url: string; method: "GET" | "POST"; headers: Record<string, string>; body?: string }[];
  everyMs: number;
  /** Chunks that every stream must bring. */
  chunks: number;
};

const QuantilesSchema = z.object({ p50: z.number(), p99: z.number(), most: z.number() });
const ResultSchema = z.object({
  chunks: z.number(),
  /** From a stream's first yield to its arrival. */
  firstMs: QuantilesSchema,
  /** From any yield to its arrival. */
  delayMs: QuantilesSchema,
  /** The longest pause between two chunks of one stream. */
  stallMs: QuantilesSchema,
  problems: z.array(z.string()),
});
export type ReadingsResult = z.infer<typeof ResultSchema>;

/** Reads all streams to their ends, in a process of its own. Rejects when one was not whole. */
export async function readStreams(readings: Readings): Promise<ReadingsResult> {
  const child = fork(fileURLToPath(import.meta.url), [], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    env: { ...process.env, EDGEPLANE_BENCH_READERS: "1" },
  });
  const result = await new Promise<ReadingsResult>((resolve, reject) => {
    child.once("message", (message) => resolve(ResultSchema.parse(message)));
    child.once("exit", (code) => reject(new Error(`the readers ended early (${code})`)));
    child.send(readings);
  });
  child.kill();
  const [problem] = result.problems;
  if (problem !== undefined) throw new Error(`${result.problems.length} streams were not whole: ${problem}`);
  return result;
}

type Stream = { arrivals: number; firstMs: number; delaysMs: number[]; stallMs: number; problem: string | null };

const nowMs = () => performance.timeOrigin + performance.now();

/** Reads one stream. A chunk is a `data:` line that begins with a number; Cog's form has it within JSON. */
function readOne(asked: Readings["requests"][number], agent: Agent, chunks: number): Promise<Stream> {
  const stream: Stream = { arrivals: 0, firstMs: 0, delaysMs: [], stallMs: 0, problem: null };
  let lastAt = 0;
  let rest = "";
  const take = (text: string) => {
    const at = nowMs();
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const yielded = /^data: (?:\{"chunk":")?(\d+\.\d+) /.exec(line)?.[1];
      if (yielded === undefined) continue;
      const delayMs = at - Number(yielded) * 1000;
      if (stream.arrivals === 0) stream.firstMs = delayMs;
      else stream.stallMs = Math.max(stream.stallMs, at - lastAt);
      stream.delaysMs.push(delayMs);
      stream.arrivals += 1;
      lastAt = at;
    }
  };
  return new Promise((resolve) => {
    const end = (problem: string | null) => {
      stream.problem = problem ?? (stream.arrivals === chunks ? null : `${stream.arrivals} of ${chunks} chunks came`);
      resolve(stream);
    };
    const read = (response: IncomingMessage) => {
      response.setEncoding("utf8");
      if (response.statusCode !== 200) {
        response.once("data", (text: string) => end(`${response.statusCode} ${text}`));
        return;
      }
      response.on("data", take);
      response.once("end", () => end(null));
      response.once("error", (error) => end(error.message));
    };
    const { url, method, headers, body } = asked;
    request(url, { agent, method, headers }, read)
      .once("error", (error) => end(error.message))
      .end(body);
  });
}

async function readAll({ requests, everyMs, chunks }: Readings): Promise<ReadingsResult> {
  const agent = new Agent({ keepAlive: false });
  const streams = await Promise.all(
    requests.map(async (asked, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * everyMs));
      return readOne(asked, agent, chunks);
    }),
  );
  const quantiles = (values: number[]) => ({
    p50: quantile(values, 0.5),
    p99: quantile(values, 0.99),
    most: quantile(values, 1),
  });
  return {
    chunks: streams.reduce((sum, { arrivals }) => sum + arrivals, 0),
    firstMs: quantiles(streams.map(({ firstMs }) => firstMs)),
    delayMs: quantiles(streams.flatMap(({ delaysMs }) => delaysMs)),
    stallMs: quantiles(streams.map(({ stallMs }) => stallMs)),
    problems: streams.flatMap(({ problem }) => problem ?? []).slice(0, 20),
  };
}

if (process.env["EDGEPLANE_BENCH_READERS"] === "1" && process.send !== undefined && import.meta.main) {
  process.once("message", (message) => {
    void readAll(message as Readings).then((result) => process.send?.(result));
  });
}
