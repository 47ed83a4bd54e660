/**
 * How fast `edgeplane push` brings a folder to the gateway, beside a plain upload of as many bytes to the same store:
 * the same calls by a bare loop that knows the hashes already and reads nothing but the file. Both ways send 1 GiB that
 * the gateway does not have, in rounds that take turns. Besides: what a second push sends after one file changed, and
 * how long it takes from the push of examples/hello-world to its first answer.
 *
 *   node test/bench/push.ts [--mib 1024] [--rounds 3]
 */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { cpSync, createReadStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { CHUNK_BYTES } from "../../src/contract/bundle.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { offerHelp } from "./lib/help.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

const AIM = 0.8;
const FIRST_ANSWER_AIM_S = 10;
const MIB = 1024 * 1024;
const PARALLEL = 4;
const root = fileURLToPath(new URL("../..", import.meta.url));

offerHelp(import.meta.url);
const { values } = parseArgs({
  options: { mib: { type: "string", default: "1024" }, rounds: { type: "string", default: "3" } },
});
const sizeMib = Number(values.mib);
const rounds = Number(values.rounds);

const EventSchema = z.looseObject({ event: z.string(), bytes: z.number().optional() });

const folder = mkdtempSync(join(tmpdir(), "edgeplane-bench-push-"));
console.log(`${machine()}\n${versions(["miniflare", "workerd"])}\n`);
const stack = await startStack({ stateDir: join(folder, "state"), offline: true, models: emptyFolder("models") });
try {
  await measureFirstAnswer();
  // It would fetch each version that is pushed while the next bytes are sent.
  await stack.stopPool();
  await measureUploads();
  await measureChange();
} finally {
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function measureUploads(): Promise<void> {
  const rates: Record<"plain" | "push", number[]> = { plain: [], push: [] };
  // The first round warms code and connections.
  for (let round = 0; round <= rounds; round += 1) {
    for (const way of ["plain", "push"] as const) {
      const model = modelFolder("large");
      const chunks = await fill(join(model, "weights.bin"), sizeMib);
      const startedAt = performance.now();
      if (way === "plain") await plainUpload(join(model, "weights.bin"), chunks, stack);
      else await push(model, "--no-schema", "--no-wait");
      if (round > 0) rates[way].push((sizeMib * 1000) / (performance.now() - startedAt));
    }
  }
  const share = median(rates.push) / median(rates.plain);
  console.log(
    table(
      ["way", "MiB/s: median (least–most)"],
      [
        ["plain upload", spread(rates.plain, 0)],
        ["edgeplane push", spread(rates.push, 0)],
      ],
    ),
  );
  console.log(`\npush beside the plain upload: ${share.toFixed(2)} (at least ${AIM})`);
  if (share < AIM) process.exitCode = 1;
}

async function measureChange(): Promise<void> {
  const model = modelFolder("changed");
  await fill(join(model, "weights.bin"), 256);
  const file = join(model, "note.py");
  writeFileSync(file, "# as it was at first\n");
  await push(model, "--no-schema", "--no-wait");
  const text = "# changed\n";
  writeFileSync(file, text);
  const sent = (await push(model, "--no-schema", "--no-wait")).find(({ event }) => event === "sent")?.bytes;
  console.log(`second push after one file became another of ${text.length} bytes: ${sent} bytes sent`);
  if (sent !== text.length) process.exitCode = 1;
}

async function measureFirstAnswer(): Promise<void> {
  const model = join(folder, "hello");
  cpSync(join(root, "examples/hello-world"), model, { recursive: true });
  const startedAt = performance.now();
  await push(model);
  const pushedAt = performance.now();
  await edgeplane("predict", "local/hello", "-i", "text=bench");
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(
    `from the push of hello-world to its first answer: ${seconds.toFixed(1)} s, of which the push took ${((pushedAt - startedAt) / 1000).toFixed(1)} s (at most ${FIRST_ANSWER_AIM_S})`,
  );
  if (seconds > FIRST_ANSWER_AIM_S) process.exitCode = 1;
}

function emptyFolder(name: string): string {
  const made = join(folder, name);
  mkdirSync(made, { recursive: true });
  return made;
}

function modelFolder(name: string): string {
  const model = emptyFolder(name);
  cpSync(join(root, "examples/hello-world/cog.yaml"), join(model, "cog.yaml"));
  return model;
}

/** Random bytes; answers the SHA-256 of each chunk. */
async function fill(path: string, mib: number): Promise<string[]> {
  const handle = await open(path, "w");
  const chunks: string[] = [];
  for (let left = mib * MIB; left > 0;) {
    const hash = createHash("sha256");
    for (let rest = Math.min(left, CHUNK_BYTES); rest > 0; rest -= MIB, left -= MIB) {
      const block = randomBytes(MIB);
      hash.update(block);
      await handle.write(block);
    }
    chunks.push(hash.digest("hex"));
  }
  await handle.close();
  return chunks;
}

/** Puts each chunk, as many at a time as the command does. */
async function plainUpload(path: string, chunks: readonly string[], { url, apiKey }: Stack): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: PARALLEL });
  const left = [...chunks.entries()];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [index, sha256] = next;
      const [start, end] = [index * CHUNK_BYTES, Math.min((index + 1) * CHUNK_BYTES, sizeMib * MIB)];
      const sending = request(`${url}/v1/models/local/plain/chunks/${sha256}`, {
        method: "PUT",
        agent,
        headers: {
          authorization: `Bearer ${apiKey}`,
          "content-type": "application/octet-stream",
          "content-length": end - start,
        },
      });
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      sending.once("response", (answer) => resolve(answer.resume().statusCode ?? 0)).once("error", reject);
      await pipeline(createReadStream(path, { start, end: end - 1, highWaterMark: MIB }), sending);
      const status = await promise;
      if (status !== 204) throw new Error(`a plain upload was answered ${status}`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  agent.destroy();
}

async function push(model: string, ...options: string[]): Promise<z.infer<typeof EventSchema>[]> {
  const said = await edgeplane("--json", "push", model, ...options);
  return said
    .trimEnd()
    .split("\n")
    .map((line) => EventSchema.parse(JSON.parse(line)));
}

/** The command as a process of its own; answers what it printed. */
async function edgeplane(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [join(root, "cli/bin.mjs"), ...args], {
    env: { ...process.env, HOME: folder, EDGEPLANE_URL: stack.url, EDGEPLANE_API_KEY: stack.apiKey },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (said += part));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`edgeplane ${args.join(" ")} ended with ${String(code)}`);
  return said;
}
