/**
 * Machines on this very machine: each a gpu-pool process of its own, with a folder of its own. They outlive the
 * service, and one that starts again finds them by their folders.
 *
 *     machines/<name>/machine.json   what it was made from, and when
 *     machines/<name>/process        its process, written by itself before it becomes the pool
 *     machines/<name>/token, log, state/
 */
import { spawn } from "node:child_process";
import { mkdirSync, openSync, closeSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { HardwareSchema } from "../../src/contract/provider.ts";
import { endProcess, isRunning } from "../../scripts/lib/process-info.ts";
import type { ProcessRef } from "../../scripts/lib/process-info.ts";
import { nanoOf } from "../money.ts";
import type { Names } from "../names.ts";
import { ProviderError } from "../provider.ts";
import type { Order, Provider, Seen } from "../provider.ts";

const HardwareChoiceSchema = z.strictObject({
  /** Machines that there may be at once. */
  max: z.int().min(1).max(64).default(1),
  devices: z.int().min(1).max(64).default(1),
  /** What an hour of one costs you, in `currency`. */
  pricePerHour: z.number().nonnegative().default(0),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .default("USD"),
  /** The pool's settings, such as EDGEPLANE_MODELS. */
  env: z.record(z.string(), z.string()).default({}),
});

export const LocalSchema = z.strictObject({
  hardware: z.record(HardwareSchema, HardwareChoiceSchema),
  /** Another program than this checkout's pool. */
  command: z.array(z.string().min(1)).min(1).optional(),
  /** How long a pool may take to leave before it is killed. */
  stopMs: z.int().min(0).max(600_000).default(15_000),
  /** Whether the machines end with the service. */
  returnOnStop: z.boolean().default(false),
});
export type LocalOptions = z.infer<typeof LocalSchema>;

const RecordSchema = z.object({ offer: z.string(), createdAtMs: z.number() });
type Found = { name: string; record: z.infer<typeof RecordSchema>; process: ProcessRef | null };

const pool = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  fileURLToPath(new URL("../../gpu-pool/main.ts", import.meta.url)),
];
/**
 * Notes its process, and becomes the program: whoever dies meanwhile, no process runs that isn't noted. The second line
 * is when it began, as scripts/lib/process-info.ts reads it.
 */
const NOTE_AND_BECOME = `{ echo $$; cat /proc/$$/stat 2>/dev/null || ps -o lstart= -p $$; } >"$0.new" && mv "$0.new" "$0" && exec "$@"`;
/** A folder without a process for longer belongs to a start that failed. */
const START_MS = 10_000;
const LOOK_AGAIN_MS = 20;

export function local(options: LocalOptions, stateDir: string, names: Names): Provider {
  const machines = join(stateDir, "machines");
  mkdirSync(machines, { recursive: true, mode: 0o700 });

  function find(): Found[] {
    const named = readdirSync(machines).filter((name) => names.machineOf(name) !== null);
    return named.map((name) => ({
      name,
      record: readRecord(join(machines, name, "machine.json")),
      process: readProcess(join(machines, name, "process")),
    }));
  }

  const isThere = ({ record, process: noted }: Found): boolean =>
    noted === null ? Date.now() - record.createdAtMs < START_MS : isRunning(noted);

  async function destroy(name: string): Promise<void> {
    const found = find().find((one) => one.name === name);
    if (found === undefined) return;
    if (found.process !== null && isRunning(found.process)) {
      process.kill(found.process.pid, "SIGTERM");
      const untilMs = performance.now() + options.stopMs;
      while (isRunning(found.process) && performance.now() < untilMs) await sleep(LOOK_AGAIN_MS);
      await endProcess(found.process);
    }
    rmSync(join(machines, name), { recursive: true, force: true });
  }

  return {
    kind: "local",
    offers() {
      const there = find().filter(isThere);
      return Promise.resolve(
        Object.entries(options.hardware).map(([hardware, { max, devices, pricePerHour, currency }]) => ({
          id: hardware,
          hardware,
          devices,
          pricePerHourNano: nanoOf(pricePerHour),
          currency,
          billingIncrementS: 1,
          spot: false,
          available: Math.max(0, max - there.filter(({ record }) => record.offer === hardware).length),
        })),
      );
    },
    list() {
      return Promise.resolve(
        find().map((found): Seen => {
          const { name, record, process: noted } = found;
          const state = isThere(found) ? (noted === null ? "creating" : "running") : "ended";
          return { providerId: name, name, offer: record.offer, state, createdAtMs: Math.round(record.createdAtMs) };
        }),
      );
    },
    create(order) {
      const choice = options.hardware[order.offer];
      if (choice === undefined) throw new ProviderError("invalid", `there is no hardware ${order.offer} here`);
      const there = find().filter((found) => isThere(found) && found.record.offer === order.offer);
      if (there.length >= choice.max) throw new ProviderError("sold_out", `${choice.max} machines are here already`);
      const folder = join(machines, order.name);
      try {
        mkdirSync(folder, { mode: 0o700 });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new ProviderError("refused", `the machine's folder can't be made: ${why}`);
      }
      const record = { offer: order.offer, createdAtMs: Date.now() };
      writeFileSync(join(folder, "machine.json"), JSON.stringify(record));
      launch(folder, order, choice.env);
      return Promise.resolve(order.name);
    },
    destroy,
    async close() {
      if (options.returnOnStop) await Promise.all(find().map(({ name }) => destroy(name)));
    },
  };

  function launch(folder: string, order: Order, env: Readonly<Record<string, string>>): void {
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, order.poolToken, { mode: 0o600 });
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("EDGEPLANE_"));
    const log = openSync(join(folder, "log"), "a", 0o600);
    const argv = options.command ?? pool;
    const child = spawn("sh", ["-c", NOTE_AND_BECOME, join(folder, "process"), ...argv], {
      stdio: ["ignore", log, log],
      detached: true,
      env: {
        ...Object.fromEntries(inherited),
        EDGEPLANE_METRICS_PORT: "0",
        // A machine that somebody works on is no rented host.
        EDGEPLANE_PREEMPTION: "off",
        EDGEPLANE_DRAIN_TIMEOUT_MS: String(Math.max(0, options.stopMs - 5000)),
        ...env,
        EDGEPLANE_URL: order.edgeUrl,
        EDGEPLANE_POOL_TOKEN_FILE: tokenFile,
        EDGEPLANE_POOL_NAME: order.name,
        EDGEPLANE_STATE_DIR: join(folder, "state"),
      },
    });
    // A start that fails leaves a folder without a process, which the next lists show as ended.
    child.once("error", () => {});
    child.unref();
    closeSync(log);
  }
}

function readRecord(file: string): z.infer<typeof RecordSchema> {
  try {
    return RecordSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // The service died between the folder and this file: nothing was started.
    return { offer: "", createdAtMs: 0 };
  }
}

function readProcess(file: string): ProcessRef | null {
  try {
    const [pid = "", ...lines] = readFileSync(file, "utf8").split("\n");
    const said = lines.join("\n").trim();
    // proc(5): the command in parentheses may hold anything; the start time is the 22nd field.
    const startedAt = said.startsWith(`${pid} (`) ? said.slice(said.lastIndexOf(")") + 2).split(" ")[19] : said;
    return startedAt === undefined ? null : { name: "pool", pid: Number(pid), startedAt };
  } catch {
    return null;
  }
}
