/**
 * One file up and down through blobs, as a client and as a pool, and its plain copy. Run as a process of its own
 * (`startTransfers`), so that its heap and its work aren't the bench's; the same for every way.
 */
import { fork } from "node:child_process";
import { createReadStream, createWriteStream, copyFileSync, rmSync, statSync } from "node:fs";
import { Agent, get, request } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { createUploads } from "../../../gpu-pool/delivery/uploads.ts";
import { download } from "../../../gpu-pool/runtime/download.ts";
import { createHttpClient } from "../../../gpu-pool/transport/http-client.ts";

/** How much a client reads ahead of the network, and lets wait for the disk. */
const BUFFER_BYTES = 1024 * 1024;
const PARTS_AT_ONCE = 2;

export const WAYS = ["plain copy", "client up", "client down", "pool up", "pool down"] as const;
export type Way = (typeof WAYS)[number];

const PlanSchema = z.object({
  url: z.string(),
  apiKey: z.string(),
  poolToken: z.string(),
  /** A prediction that is held as a pool would, so that outputs may be stored for it. */
  claim: z.object({ id: z.string(), token: z.string() }),
  source: z.string(),
  /** Where what comes down is written; beside the stack's own content. */
  folder: z.string(),
});
export type Plan = z.infer<typeof PlanSchema>;

const ReplySchema = z.union([z.object({ seconds: z.number(), cpuMs: z.number() }), z.object({ problem: z.string() })]);

const UploadSchema = z.object({
  id: z.string(),
  part_size: z.number(),
  part_count: z.number(),
  urls: z.object({ part: z.string(), complete: z.string(), get: z.string() }),
});
const FileSchema = z.object({ id: z.string(), urls: z.object({ get: z.string() }) });

/** Starts the process. `run` answers how long a way took, and the CPU time of this process for it. */
export function startTransfers(plan: Plan) {
  const child = fork(fileURLToPath(import.meta.url), [], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    env: { ...process.env, EDGEPLANE_BENCH_TRANSFERS: JSON.stringify(plan) },
  });
  return {
    pid: child.pid ?? 0,
    async run(way: Way): Promise<{ seconds: number; cpuMs: number }> {
      const reply = await new Promise((resolve, reject) => {
        child.once("message", resolve);
        child.once("exit", (code) => reject(new Error(`the transfers ended early (${code})`)));
        child.send(way);
      });
      child.removeAllListeners("exit");
      const outcome = ReplySchema.parse(reply);
      if ("problem" in outcome) throw new Error(`${way}: ${outcome.problem}`);
      return outcome;
    },
    stop: () => void child.kill(),
  };
}

/** Uploads `source` in parts, two at a time, as a client does. */
export async function uploadAsClient(plan: Pick<Plan, "url" | "apiKey">, source: string, agent: Agent) {
  const sizeBytes = statSync(source).size;
  const upload = UploadSchema.parse(await call(plan, "POST", "/v1/uploads", { name: "large.bin", size: sizeBytes }));
  let next = 1;
  const send = async (): Promise<void> => {
    for (let number = next; number <= upload.part_count; number = next) {
      next += 1;
      const from = (number - 1) * upload.part_size;
      const to = Math.min(from + upload.part_size, sizeBytes) - 1;
      await put(plan, upload.urls.part.replace("{part_number}", String(number)), { source, from, to }, agent);
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, send));
  return FileSchema.parse(await call(plan, "POST", new URL(upload.urls.complete).pathname));
}

/** One call of the API as the client; throws when it is refused. */
export async function call(
  { url, apiKey }: Pick<Plan, "url" | "apiKey">,
  method: string,
  path: string,
  body?: object,
): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 300)}`);
  return text === "" ? null : (JSON.parse(text) as unknown);
}

type Piece = { source: string; from: number; to: number };

function put(plan: Pick<Plan, "apiKey">, url: string, { source, from, to }: Piece, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${plan.apiKey}`, "content-length": to - from + 1 };
    const outgoing = request(url, { method: "PUT", agent, headers }, (reply) => {
      reply.resume().once("end", () => {
        if (reply.statusCode === 200) resolve();
        else reject(new Error(`a part was answered ${reply.statusCode}`));
      });
    });
    outgoing.once("error", reject);
    createReadStream(source, { start: from, end: to, highWaterMark: BUFFER_BYTES }).pipe(outgoing);
  });
}

function waysOf(plan: Plan): Record<Way, () => Promise<void>> {
  const { source, folder } = plan;
  const sizeBytes = statSync(source).size;
  const agent = new Agent({ keepAlive: true });
  const uploads = createUploads(createHttpClient(new URL(plan.url), { authorization: `Bearer ${plan.poolToken}` }));
  let file: z.infer<typeof FileSchema> | null = null;
  const link = () => file?.urls.get ?? "";
  const rules = {
    allowLoopback: false,
    trustedOrigin: new URL(plan.url).origin,
    maxBytes: sizeBytes,
    timeoutMs: 600_000,
  };
  const checkAndRemove = (path: string): void => {
    if (statSync(path).size !== sizeBytes) throw new Error("what came is short");
    rmSync(path);
  };
  return {
    "plain copy": async () => {
      const to = join(folder, "copy.bin");
      await pipeline(createReadStream(source), createWriteStream(to));
      checkAndRemove(to);
    },
    "client up": async () => {
      file = await uploadAsClient(plan, source, agent);
    },
    "client down": async () => {
      const to = join(folder, "down.bin");
      await new Promise<void>((resolve, reject) => {
        get(link(), { agent }, (reply) => {
          pipeline(reply, createWriteStream(to, { highWaterMark: BUFFER_BYTES })).then(resolve, reject);
        }).once("error", reject);
      });
      checkAndRemove(to);
    },
    "pool up": async () => {
      await uploads.files(
        plan.claim,
        { $file: source, mark: "m" },
        { scratchDir: join(folder, "none"), fileMark: "m", isConfined: false },
      );
    },
    "pool down": async () => {
      checkAndRemove(await download(link(), folder, 0, "file", rules));
      await call(plan, "DELETE", `/v1/files/${file?.id}`);
    },
  };
}

/**
 * Gives memory of the file's size back to the kernel. On a virtual machine, memory that was never used, or not for
 * seconds, is fetched from the host at the first touch, which costs more than the copy: so every way begins with as
 * much that was used just now.
 */
function freeMemory({ source, folder }: Plan): void {
  const spare = join(folder, "spare.bin");
  copyFileSync(source, spare);
  rmSync(spare);
}

if (process.env["EDGEPLANE_BENCH_TRANSFERS"] !== undefined && process.send !== undefined && import.meta.main) {
  const plan = PlanSchema.parse(JSON.parse(process.env["EDGEPLANE_BENCH_TRANSFERS"]));
  const ways = waysOf(plan);
  const run = async (way: Way): Promise<z.infer<typeof ReplySchema>> => {
    try {
      freeMemory(plan);
      const startedAt = performance.now();
      const before = process.cpuUsage();
      await ways[way]();
      const { user, system } = process.cpuUsage(before);
      return { seconds: (performance.now() - startedAt) / 1000, cpuMs: (user + system) / 1000 };
    } catch (error) {
      return { problem: String(error) };
    }
  };
  process.on("message", (way) => void run(z.enum(WAYS).parse(way)).then((reply) => process.send?.(reply)));
  process.on("disconnect", () => process.exit(0));
}
