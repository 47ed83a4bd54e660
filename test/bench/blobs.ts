/**
 * How fast 1 GiB goes through blobs, up and down, as a client and as a pool: against a plain copy (a Node stream from file to file) into the same
 * folder, in rounds that take turns, so that all of them meet the same machine. And how much memory workerd takes for it.
 *
 *   node test/bench/blobs.ts [--mib 1024] [--rounds 3]
 *
 * What is compared to the copy: parts of 64 MiB, two at a time, read from a file and hashed by the gateway (SHA-256); and one download to a file.
 * Neither side syncs the disk.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  createReadStream,
  createWriteStream,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { Agent, get, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { createHttpClient } from "../../gpu-pool/transport/http-client.ts";
import { createUploads } from "../../gpu-pool/delivery/uploads.ts";
import { download } from "../../gpu-pool/runtime/download.ts";
import { machine, versions } from "./lib/machine.ts";
import { usageOf } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";

const help = `node test/bench/blobs.ts: 1 GiB through blobs, up and down, against a plain copy into the same folder.

  --mib n      how much (1024)
  --rounds n   how often each is measured (3)`;

const AIM = 0.7;
const MIB = 1024 * 1024;
const READ_BYTES = MIB;
const PARTS_AT_ONCE = 2;
const SAMPLE_MS = 50;

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
const sizeBytes = Number(values.mib) * MIB;
const rounds = Number(values.rounds);

const UploadSchema = z.object({
  id: z.string(),
  part_size: z.number(),
  part_count: z.number(),
  urls: z.object({ part: z.string(), complete: z.string(), get: z.string() }),
});
const FileSchema = z.object({ id: z.string(), urls: z.object({ get: z.string() }) });
const GrantSchema = z.object({
  claims: z.tuple([z.object({ id: z.string(), token: z.string(), verdict: z.literal("granted") })]),
});

const agent = new Agent({ keepAlive: true });

async function main(): Promise<void> {
  console.log(`${machine()}\n${versions(["miniflare", "workerd"])}\n`);
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-blobs-"));
  const source = join(folder, "source.bin");
  fill(source);
  const stack = await startStack({ stateDir: join(folder, "state"), pool: false });
  try {
    const claim = await claimOne(stack);
    const ways = waysOf(stack, source, folder, claim);
    const seconds = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]));
    const memory = watchMemory(stack.pids().workerd ?? 0);
    const before = memory.now();
    // The first round warms code and connections.
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, run] of Object.entries(ways)) {
        const startedAt = performance.now();
        await run();
        if (round > 0) seconds.get(name)?.push((performance.now() - startedAt) / 1000);
      }
    }
    report(seconds, { before, peak: memory.stop(), after: usageOf(stack.pids().workerd ?? 0).rssBytes });
  } finally {
    await stack.stop();
    agent.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
}

type Claim = { id: string; token: string };

function waysOf(stack: Stack, source: string, folder: string, claim: Claim): Record<string, () => Promise<void>> {
  const target = join(folder, "state/edge/blobs/copy.bin");
  const pool = createHttpClient(new URL(stack.url), { authorization: `Bearer ${stack.poolToken}` });
  const uploads = createUploads(pool);
  let link = "";
  let fileId = "";
  const rules = {
    allowLoopback: false,
    offline: true,
    operatorOrigins: [],
    trustedOrigin: new URL(stack.url).origin,
    maxBytes: sizeBytes,
    timeoutMs: 600_000,
  };
  return {
    "plain copy": async () => {
      await pipeline(createReadStream(source), createWriteStream(target));
      rmSync(target);
    },
    "client up": async () => {
      const file = await uploadAsClient(stack, source);
      [link, fileId] = [file.urls.get, file.id];
    },
    "client down": async () => {
      const to = join(folder, "state/edge/blobs/down.bin");
      await new Promise<void>((resolve, reject) => {
        get(link, { agent }, (reply) => {
          pipeline(reply, createWriteStream(to)).then(resolve, reject);
        }).once("error", reject);
      });
      if (statSync(to).size !== sizeBytes) throw new Error("the download is short");
      rmSync(to);
    },
    "pool up": async () => {
      await uploads.files(claim, { $file: source }, join(folder, "none"));
    },
    "pool down": async () => {
      const to = await download(link, join(folder, "state/edge/blobs"), 0, "file", rules);
      if (statSync(to).size !== sizeBytes) throw new Error("the download is short");
      rmSync(to);
      await call(stack, "DELETE", `/v1/files/${fileId}`);
    },
  };
}

async function uploadAsClient(stack: Stack, source: string): Promise<z.infer<typeof FileSchema>> {
  const upload = UploadSchema.parse(await call(stack, "POST", "/v1/uploads", { name: "large.bin", size: sizeBytes }));
  let next = 1;
  const send = async (): Promise<void> => {
    for (let number = next; number <= upload.part_count; number = next) {
      next += 1;
      const from = (number - 1) * upload.part_size;
      const length = Math.min(upload.part_size, sizeBytes - from);
      await put(stack, upload.urls.part.replace("{part_number}", String(number)), source, from, length);
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, send));
  return FileSchema.parse(await call(stack, "POST", new URL(upload.urls.complete).pathname));
}

function put(stack: Stack, url: string, source: string, from: number, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${stack.apiKey}`, "content-length": length };
    const outgoing = request(url, { method: "PUT", agent, headers }, (reply) => {
      reply.resume().once("end", () => {
        if (reply.statusCode === 200) resolve();
        else reject(new Error(`a part was answered ${reply.statusCode}`));
      });
    });
    outgoing.once("error", reject);
    createReadStream(source, { start: from, end: from + length - 1, highWaterMark: READ_BYTES }).pipe(outgoing);
  });
}

/** A prediction that this bench holds as a pool would, so that it may store outputs for it. */
async function claimOne(stack: Stack): Promise<Claim> {
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
  const created = z
    .object({ id: z.string() })
    .parse(await call(stack, "POST", "/v1/predictions", { version: manifest.version, input: {}, timeout: "2h" }));
  const claims = await fetch(`${stack.url}/pool/v1/claims`, {
    method: "POST",
    headers: pool,
    body: JSON.stringify({ session, startNow: 1, jobs: [{ id: created.id }] }),
  });
  return GrantSchema.parse(await claims.json()).claims[0];
}

async function call(stack: Stack, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${stack.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 300)}`);
  return text === "" ? null : (JSON.parse(text) as unknown);
}

function fill(path: string): void {
  const block = randomBytes(MIB);
  const file = openSync(path, "w");
  for (let written = 0; written < sizeBytes; written += MIB) writeSync(file, block);
  closeSync(file);
}

/** The most memory that a process has had, looked at 20 times a second. */
function watchMemory(pid: number) {
  let peak = 0;
  const now = (): number => usageOf(pid).rssBytes;
  const timer = setInterval(() => (peak = Math.max(peak, now())), SAMPLE_MS);
  return {
    now,
    stop(): number {
      clearInterval(timer);
      return peak;
    },
  };
}

function report(seconds: Map<string, number[]>, memory: { before: number; peak: number; after: number }): void {
  const rates = new Map([...seconds].map(([name, taken]) => [name, taken.map((s) => sizeBytes / MIB / s)]));
  const copy = median(rates.get("plain copy") ?? []);
  const rows = [...rates].map(([name, all]) => {
    const ratio = median(all) / copy;
    const verdict = name === "plain copy" ? "" : ratio >= AIM ? "reached" : "MISSED";
    return [name, spread(all, 0), ratio.toFixed(2), verdict];
  });
  console.log(table(["way", "MiB/s: median (least–most)", "of the copy", `aim: ${AIM}`], rows));
  const mib = (bytes: number) => Math.round(bytes / MIB);
  console.log(
    `\nworkerd's memory: ${mib(memory.before)} MiB before, ${mib(memory.peak)} MiB at its peak, ${mib(memory.after)} MiB after; this process, as client and pool: ${mib(usageOf(process.pid).rssBytes)} MiB`,
  );
}

await main();
