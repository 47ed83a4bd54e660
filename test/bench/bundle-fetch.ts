/**
 * How fast a pool fetches and verifies a pushed model of one GiB from a server of this machine, beside a plain copy of
 * the same bytes on the same disk. Rounds alternate between the two; the least that must be is 200 MB/s.
 *
 *     node test/bench/bundle-fetch.ts [--rounds 3] [--mebibytes 1024]
 */
import { fork } from "node:child_process";
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { CHUNK_BYTES } from "../../src/contract/bundle.ts";
import { ContentFetcher } from "../../gpu-pool/bundles/content-fetcher.ts";
import { Contents, contentOf } from "../../gpu-pool/bundles/contents.ts";
import { EdgeFiles } from "../../gpu-pool/bundles/edge-files.ts";
import { createHttpClient } from "../../gpu-pool/transport/http-client.ts";
import { pack, PushedFiles } from "../pushed-files.ts";
import { offerHelp } from "./lib/help.ts";
import { machine } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

const SERVER = "serve";
const LEAST_MB_PER_SECOND = 200;
const REF = { owner: "local", name: "pushed", version: "0".repeat(64) };

if (process.argv[2] === SERVER) {
  const pushed = new PushedFiles();
  const packed = pack({ weights: weightsOf(Number(process.argv[3])) });
  for (const [sha256, bytes] of packed.chunks) pushed.chunks.set(sha256, bytes);
  const server = createServer((request, reply) => void pushed.handle(request, Buffer.alloc(0), reply));
  server.listen(0, "127.0.0.1", () => {
    process.send?.({ port: (server.address() as AddressInfo).port, file: packed.bundle.files[0] });
  });
} else {
  offerHelp(import.meta.url);
  await measure();
}

function weightsOf(mebibytes: number): Buffer {
  const bytes = Buffer.alloc(mebibytes * 1024 * 1024);
  const random = randomBytes(Math.min(bytes.length, CHUNK_BYTES));
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    random.copy(bytes, at);
    bytes.writeUInt32LE(at / CHUNK_BYTES, at);
  }
  return bytes;
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "3" }, mebibytes: { type: "string", default: "1024" } },
  });
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-bench-bundle-"));
  const server = fork(import.meta.filename, [SERVER, values.mebibytes]);
  try {
    const { port, file } = await new Promise<{ port: number; file: Parameters<typeof contentOf>[0] }>((resolve) =>
      server.once("message", (message) => resolve(message as never)),
    );
    const content = contentOf(file);
    if (content === null) throw new Error("nothing to fetch");
    const http = createHttpClient(new URL(`http://127.0.0.1:${port}`), {});
    const edge = new EdgeFiles(http, "none");
    const rates: Record<"fetch" | "copy", number[]> = { fetch: [], copy: [] };
    const cpu: number[] = [];
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const contents = new Contents(join(dir, String(round)));
      const fetcher = new ContentFetcher({ contents, budgetBytes: Infinity, leastFreeBytes: 0 });
      const before = process.cpuUsage();
      rates.fetch.push(
        await perSecond(content.bytes, async () =>
          fetcher.ensure([content], {
            open: async (sha256, offset, signal) => edge.chunk(REF, sha256, offset, signal),
            onBytes: () => {},
            signal: new AbortController().signal,
          }),
        ),
      );
      const { user, system } = process.cpuUsage(before);
      cpu.push((user + system) / 1e6);
      const copy = join(dir, `copy-${round}`);
      await mkdir(dir, { recursive: true });
      rates.copy.push(
        await perSecond(content.bytes, async () => {
          await pipeline(
            createReadStream(contents.pathOf(content), { highWaterMark: 2 ** 20 }),
            createWriteStream(copy),
          );
          const handle = await open(copy, "r");
          await handle.sync();
          await handle.close();
        }),
      );
      rmSync(contents.root, { recursive: true });
      rmSync(copy);
    }
    http.close();
    console.log(`machine: ${machine()}`);
    const ratio = `${(median(rates.fetch) / median(rates.copy)).toFixed(2)}×`;
    console.log(
      table(
        ["", "fetched and verified", "copied", "ratio"],
        [[`MB/s, ${values.mebibytes} MiB`, spread(rates.fetch, 0), spread(rates.copy, 0), ratio]],
      ),
    );
    console.log(`CPU of the pool: ${spread(cpu, 2)} s`);
    if (median(rates.fetch) < LEAST_MB_PER_SECOND) {
      console.error(`less than ${LEAST_MB_PER_SECOND} MB/s`);
      process.exitCode = 1;
    }
  } finally {
    server.kill();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function perSecond(bytes: number, work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return bytes / 1e6 / ((performance.now() - startedAt) / 1000);
}
