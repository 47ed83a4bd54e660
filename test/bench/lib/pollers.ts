/**
 * Clients that poll: each asks for one thing, pauses, and asks again. Some of the things are changed meanwhile, and it
 * is timed when their clients know. Run as a process of its own (`poll`), so that its work isn't the measured server's;
 * the same for every side of a bench.
 */
import { fork } from "node:child_process";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { quantile } from "./stats.ts";

export type Polling = {
  /** One client each. */
  things: readonly { url: string; change: { method: string; url: string } }[];
  headers: Record<string, string>;
  pauseMs: number;
  /** Polls of the first `warmUpMs` are not counted; those of `durationMs` behind it are. */
  warmUpMs: number;
  durationMs: number;
  /** So many things are changed, evenly over `durationMs`; an answer that holds `changed` tells of it. */
  changes: number;
  changed: string;
};

const ResultSchema = z.object({
  polls: z.number(),
  /** From the sending of a change to the answer that tells its client. */
  delaysMs: z.array(z.number()),
  /** From the sending of a change to its own answer. */
  changesMs: z.array(z.number()),
  problems: z.array(z.string()),
});
export type PollingResult = { polls: number; delay: { p50: number; p99: number }; changeP99Ms: number };

/** How long after the counted time a change may still reach its client. */
const LATE_MS = 30_000;

const PhaseSchema = z.union([z.literal("warm"), z.literal("over"), ResultSchema]);

/**
 * Polls in a process of its own. `onWarm` and `onOver` are called when the counted time begins and ends. Rejects when
 * an answer was wrong.
 */
export async function poll(polling: Polling, onWarm: () => void, onOver: () => void): Promise<PollingResult> {
  const child = fork(fileURLToPath(import.meta.url), [], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    env: { ...process.env, EDGEPLANE_BENCH_POLLERS: "1" },
  });
  const { polls, delaysMs, changesMs, problems } = await new Promise<z.infer<typeof ResultSchema>>(
    (resolve, reject) => {
      child.on("message", (message) => {
        const phase = PhaseSchema.parse(message);
        if (phase === "warm") onWarm();
        else if (phase === "over") onOver();
        else resolve(phase);
      });
      child.once("exit", (code) => reject(new Error(`the pollers ended early (${code})`)));
      child.send(polling);
    },
  );
  child.kill();
  if (problems[0] !== undefined) throw new Error(`${problems.length} problems: ${problems[0]}`);
  const delay = { p50: quantile(delaysMs, 0.5), p99: quantile(delaysMs, 0.99) };
  return { polls, delay, changeP99Ms: quantile(changesMs, 0.99) };
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function run(polling: Polling): Promise<z.infer<typeof ResultSchema>> {
  const { things, pauseMs, warmUpMs, durationMs } = polling;
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const result: z.infer<typeof ResultSchema> = { polls: 0, delaysMs: [], changesMs: [], problems: [] };
  const changedAt = new Map<number, number>();
  let isCounting = false;
  let isOver = false;

  const ask = (method: string, url: string) =>
    new Promise<string>((resolve) => {
      const fail = (problem: string) => {
        result.problems.push(problem);
        resolve("");
      };
      const call = request(url, { agent, method, headers: polling.headers }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => {
          if (response.statusCode === 200) resolve(text);
          else fail(`${method} ${url}: ${response.statusCode} ${text.slice(0, 300)}`);
        });
      });
      call.on("error", (error) => fail(`${method} ${url}: ${error.message}`));
      call.end();
    });

  /** One that knows of its change goes on polling, as a client of the next prediction would, so that the load stays. */
  const client = async (index: number, thing: Polling["things"][number]) => {
    await sleep((pauseMs * 2 * index) / things.length);
    let knows = false;
    let url = thing.url;
    while (!isOver) {
      const text = await ask("GET", url);
      if (isCounting) result.polls += 1;
      const sentAt = changedAt.get(index);
      if (!knows && sentAt !== undefined && text.includes(polling.changed)) {
        knows = true;
        result.delaysMs.push(performance.now() - sentAt);
        url = things.at(-1)?.url ?? url;
      }
      await sleep(pauseMs);
    }
  };

  const changer = async () => {
    for (let index = 0; index < polling.changes; index += 1) {
      const change = things[index]?.change;
      if (change === undefined) return;
      const sentAt = performance.now();
      changedAt.set(index, sentAt);
      const answered = ask(change.method, change.url).then(() => result.changesMs.push(performance.now() - sentAt));
      await Promise.all([answered, sleep(durationMs / (polling.changes + 1))]);
    }
  };

  const clients = things.map((thing, index) => client(index, thing));
  await sleep(warmUpMs);
  isCounting = true;
  process.send?.("warm");
  const changing = changer();
  await sleep(durationMs);
  isCounting = false;
  process.send?.("over");
  await changing;
  const until = performance.now() + LATE_MS;
  while (result.delaysMs.length < polling.changes && performance.now() < until) await sleep(pauseMs);
  const unknown = polling.changes - result.delaysMs.length;
  if (unknown > 0) result.problems.push(`${unknown} changes did not reach their clients`);
  isOver = true;
  await Promise.all(clients);
  agent.destroy();
  return result;
}

if (process.env["EDGEPLANE_BENCH_POLLERS"] !== undefined && process.send !== undefined && import.meta.main) {
  process.once("message", (message) => {
    void run(message as Polling).then((result) => process.send?.(result));
  });
}
