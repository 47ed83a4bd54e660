/**
 * How fast 1 GiB goes through blobs, up and down, as a client and as a pool: against a plain copy (a Node stream from
 * file to file) into the same folder, in rounds that take turns, so that all of them meet the same machine. And how
 * much memory it takes: of workerd, and of a real pool that hands the file to a model and back.
 *
 *   node test/bench/blobs.ts [--mib 1024] [--rounds 3]
 *
 * What is compared to the copy: parts of 64 MiB, two at a time, read from a file and hashed by the gateway (SHA-256);
 * and one download to a file. Neither side syncs the disk. The copy has the chunks that Node gives it (64 KiB); the
 * client reads and writes a mebibyte at a time. All ways begin with memory for a whole file that was freed just before
 * (`lib/transfers.ts` says why).
 */
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { machine, versions } from "./lib/machine.ts";
import { measurePoolMemory } from "./lib/pool-memory.ts";
import { measureCpu, usageOf, watchMemory } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";
import { WAYS, call, startTransfers, uploadAsClient } from "./lib/transfers.ts";
import type { Plan, Way } from "./lib/transfers.ts";

const help = `node test/bench/blobs.ts: 1 GiB through blobs, up and down, against a plain copy into the same folder.

  --mib n      how much (1024)
  --rounds n   how often each is measured (3)`;

const AIM = 0.7;
const MIB = 1024 * 1024;

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}
const sizeMib = Number(values.mib);
const rounds = Number(values.rounds);

const GrantSchema = z.object({
  claims: z.tuple([z.object({ id: z.string(), token: z.string(), verdict: z.literal("granted") })]),
});

type Run = { mibPerSecond: number; workerdCpuMs: number; ownCpuMs: number };

async function main(): Promise<void> {
  console.log(`${machine()}\n${versions(["miniflare", "workerd"])}\n`);
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-blobs-"));
  const source = join(folder, "source.bin");
  fill(source);
  const models = fileURLToPath(new URL("file-models", import.meta.url));
  const stack = await startStack({ stateDir: join(folder, "state"), models, offline: true });
  try {
    await stack.stopPool();
    const { url, apiKey, poolToken } = stack;
    const claim = await claimOne(stack);
    const plan = { url, apiKey, poolToken, claim, source, folder: join(folder, "state/edge/blobs") };
    await measureRates(stack, plan);
    await measureMemory(stack, source);
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureRates(stack: Stack, plan: Plan): Promise<void> {
  const runs = new Map<Way, Run[]>(WAYS.map((way) => [way, []]));
  const workerd = stack.pids().workerd ?? 0;
  const beforeBytes = usageOf(workerd).rssBytes;
  const memory = watchMemory(workerd);
  const transfers = startTransfers(plan);
  try {
    // The first round warms code and connections.
    for (let round = 0; round <= rounds; round += 1) {
      for (const way of WAYS) {
        const cpu = measureCpu({ workerd: [workerd] });
        const { seconds, cpuMs: ownCpuMs } = await transfers.run(way);
        const { workerd: workerdCpuMs } = cpu();
        if (round > 0) runs.get(way)?.push({ mibPerSecond: sizeMib / seconds, workerdCpuMs, ownCpuMs });
      }
    }
    report(runs);
    console.log(
      `\nmemory of workerd: ${mib(beforeBytes)} MiB before, ${mib(memory.stop())} at its peak, ${mib(usageOf(workerd).rssBytes)} after; of the process that is client and pool: ${mib(usageOf(transfers.pid).rssBytes)} after`,
    );
  } finally {
    transfers.stop();
  }
}

async function measureMemory(stack: Stack, source: string): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const { urls } = await uploadAsClient(stack, source, agent);
  agent.destroy();
  stack.startPool();
  const { beforeBytes, peakBytes } = await measurePoolMemory(stack, urls.get);
  console.log(
    `memory of a pool whose model gets the file and hands it back: ${mib(beforeBytes)} MiB before, ${mib(peakBytes)} at its peak`,
  );
}

/** A prediction that this bench holds as a pool would, so that it may store outputs for it. */
async function claimOne(stack: Stack): Promise<Plan["claim"]> {
  const pool = { authorization: `Bearer ${stack.poolToken}` };
  const session = "bench-blobs-session";
  const manifest = { owner: "local", name: "bench", version: "b".repeat(64), lane: "default" };
  const channel = new WebSocket(`${stack.url.replace("http", "ws")}/pool/v1/connect?session=${session}`, {
    headers: pool,
  });
  await new Promise((resolve, reject) => {
    channel.addEventListener("open", resolve);
    channel.addEventListener("error", () => reject(new Error("the control channel can't be opened")));
  });
  const welcome = new Promise((resolve) => channel.addEventListener("message", resolve, { once: true }));
  const hello = { type: "hello", session, pool: "bench", version: "1", lanes: ["default"], devices: [], slots: 1 };
  channel.send(JSON.stringify({ ...hello, maxBatchSize: 1, models: [manifest] }));
  await welcome;
  const wanted = { version: manifest.version, input: {}, timeout: "2h" };
  const created = z.object({ id: z.string() }).parse(await call(stack, "POST", "/v1/predictions", wanted));
  const claims = await fetch(`${stack.url}/pool/v1/claims`, {
    method: "POST",
    headers: pool,
    body: JSON.stringify({ session, jobs: [{ id: created.id, startNow: true }] }),
  });
  return GrantSchema.parse(await claims.json()).claims[0];
}

function fill(path: string): void {
  const block = randomBytes(MIB);
  const file = openSync(path, "w");
  for (let written = 0; written < sizeMib; written += 1) writeSync(file, block);
  closeSync(file);
}

function mib(bytes: number): number {
  return Math.round(bytes / MIB);
}

function report(runs: Map<Way, Run[]>): void {
  const rates = (all: readonly Run[] = []) => all.map(({ mibPerSecond }) => mibPerSecond);
  const copy = median(rates(runs.get("plain copy")));
  const secondsPerGib = (ms: readonly number[]) => ((median(ms) / 1000) * (1024 / sizeMib)).toFixed(2);
  const rows = [...runs].map(([way, all]) => {
    const ratio = median(rates(all)) / copy;
    const verdict = way === "plain copy" ? "" : ratio >= AIM ? "reached" : "MISSED";
    const workerd = secondsPerGib(all.map(({ workerdCpuMs }) => workerdCpuMs));
    const own = secondsPerGib(all.map(({ ownCpuMs }) => ownCpuMs));
    return [way, spread(rates(all), 0), ratio.toFixed(2), verdict, workerd, own];
  });
  const columns = ["way", "MiB/s: median (least–most)", "of the copy", `aim: ${AIM}`];
  console.log(table([...columns, "CPU-s a GiB: workerd", "client or pool"], rows));
  process.exitCode = rows.some((row) => row[3] === "MISSED") ? 1 : 0;
}

await main();
