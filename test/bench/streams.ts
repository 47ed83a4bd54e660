/**
 * 200 streams at 50 chunks a second each: the longest pause between two chunks of a stream, and how long after the
 * model's yield a chunk is with its client; then lone streams, one after the other, for the first chunk. Beside a bare
 * Node server that makes the chunks itself. Rounds alternate.
 *
 *     node test/bench/streams.ts [--streams 200] [--rate 50] [--seconds 10] [--rounds 3]
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import { offered } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import type { Judged } from "./lib/limits.ts";
import { machine, versions } from "./lib/machine.ts";
import { descendantsOf, measureCpu } from "./lib/processes.ts";
import { readStreams } from "./lib/sse-readers.ts";
import type { Readings, ReadingsResult } from "./lib/sse-readers.ts";
import { median, spread } from "./lib/stats.ts";

offerHelp(import.meta.url);

const LONE_STREAMS = 20;
const LONE_CHUNKS = 5;
/** From the yield to its arrival, on any machine. */
const LONE_FIRST_MS = 15;
/** New streams begin this far apart, so that their starts are not what is measured. */
const OPEN_EVERY_MS = 15;

const { values } = parseArgs({
  options: {
    streams: { type: "string", default: "200" },
    rate: { type: "string", default: "50" },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
  },
});
const streams = Number(values.streams);
const rate = Number(values.rate);
const chunks = Number(values.seconds) * rate;
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-streams-"));
console.log(`machine: ${machine()}`);
console.log(
  `versions: ${versions(["miniflare", "workerd"])}, ${execFileSync("python3", ["--version"]).toString().trim()}`,
);

const models = fileURLToPath(new URL("models", import.meta.url));
const stack = await startStack({ stateDir, models, poolEnv: { EDGEPLANE_WARM: "1" } });
const bare = spawn(process.execPath, [fileURLToPath(new URL("lib/bare-sse.mjs", import.meta.url))], {
  stdio: ["ignore", "pipe", "inherit"],
});
const [portText] = (await once(bare.stdout, "data")) as [Buffer];
const bareUrl = `http://127.0.0.1:${portText.toString().trim()}`;

type Request = Readings["requests"][number];
const ours = (count: number): Request => ({
  url: `${stack.url}/v1/predictions`,
  method: "POST",
  headers: {
    authorization: `Bearer ${stack.apiKey}`,
    accept: "text/event-stream",
    "content-type": "application/json",
  },
  body: JSON.stringify({ version, input: { chunks: count, per_second: rate } }),
});
const theirs = (count: number): Request => ({
  url: `${bareUrl}/?chunks=${count}&per_second=${rate}`,
  method: "GET",
  headers: {},
});
const many = (one: Request): Request[] => Array.from({ length: streams }, () => one);

async function lone(one: Request): Promise<number[]> {
  const first: number[] = [];
  for (let index = 0; index < LONE_STREAMS; index += 1) {
    first.push((await readStreams({ requests: [one], everyMs: 0, chunks: LONE_CHUNKS })).firstMs.most);
  }
  return first;
}

const { version } = await offered(stack, "token-stream");
try {
  await readStreams({ requests: many(ours(rate)), everyMs: OPEN_EVERY_MS, chunks: rate });
  const results: Record<"ours" | "theirs", ReadingsResult[]> = { ours: [], theirs: [] };
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    const { workerd, pool } = stack.pids();
    if (workerd === null || pool === null) throw new Error("the stack is not up");
    const cpu = measureCpu({ workerd: [workerd], pool: [pool], "model process": descendantsOf(pool) });
    const own = await readStreams({ requests: many(ours(chunks)), everyMs: OPEN_EVERY_MS, chunks });
    const used = Object.entries(cpu()).map(([name, ms]) => `${name} ${((ms / own.chunks) * 1000).toFixed(0)}`);
    results.ours.push(own);
    const peer = await readStreams({ requests: many(theirs(chunks)), everyMs: OPEN_EVERY_MS, chunks });
    results.theirs.push(peer);
    console.log(
      `round ${round}: longest stall ${own.stallMs.most.toFixed(0)} ms (bare ${peer.stallMs.most.toFixed(0)}), ` +
        `chunk p50 ${own.delayMs.p50.toFixed(1)} p99 ${own.delayMs.p99.toFixed(1)} ms; CPU-µs a chunk: ${used.join(", ")}`,
    );
  }
  const [loneOurs, loneTheirs] = [await lone(ours(LONE_CHUNKS)), await lone(theirs(LONE_CHUNKS))];
  const ratioOf = (of: (result: ReadingsResult) => number) =>
    median(results.ours.map(of)) / median(results.theirs.map(of));
  const row = (name: string, of: (result: ReadingsResult) => number, must: string | Judged = "") => [
    name,
    spread(results.ours.map(of)),
    spread(results.theirs.map(of)),
    `${ratioOf(of).toFixed(1)}×`,
    must,
  ];
  const longest = ({ stallMs }: ReadingsResult) => stallMs.most;
  const isMet = printJudged(
    [`${streams} streams at ${rate} chunks/s, ms`, "Edgeplane", "bare Node server", "of the bare server's", "must"],
    [
      row("longest pause between two chunks", longest, judge(ratioOf(longest), { must: 5, aim: 3, unit: "×" })),
      row("yield → client, p50", ({ delayMs }) => delayMs.p50),
      row("yield → client, p99", ({ delayMs }) => delayMs.p99),
      row("first chunk under this load, p50", ({ firstMs }) => firstMs.p50),
      row("first chunk under this load, p99", ({ firstMs }) => firstMs.p99),
      [
        `first chunk of a lone stream (${LONE_STREAMS})`,
        spread(loneOurs),
        spread(loneTheirs),
        "",
        judge(Math.max(...loneOurs), { must: LONE_FIRST_MS, unit: " ms" }),
      ],
    ],
  );
  process.exitCode = isMet ? 0 : 1;
} finally {
  bare.kill();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
