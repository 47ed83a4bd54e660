/**
 * The edge of the local stack: Miniflare with one workerd, whose direct socket is the stack's address. Started by the
 * supervisor with an IPC channel; gets `start`, reports `workerd` at each start of one and `ready` when it answers, and
 * leaves on `stop`, or when the channel closes, so that a killed supervisor leaves nothing behind.
 *
 *     starting → ready ⇄ restarting (workerd died; Miniflare starts it again on the same port) → exit
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { subscribe } from "node:diagnostics_channel";
import { mkdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import * as z from "zod";
import { EdgeCommandSchema } from "./edge-options.ts";
import type { EdgeOptions, EdgeReport } from "./edge-options.ts";
import { isPluginHost, PluginHosts } from "./plugin-hosts.ts";
import { supervisorOf } from "./plugin-supervisor.ts";

/**
 * A workerd that doesn't come back within this time is given up, and this process with it: the supervisor begins anew.
 */
const RESTART_LIMIT_MS = 5_000;

/** Webhooks carry no credentials, so that none of them is taken for a call to the operator's services. */
const OUTBOUND = `export default {
  fetch(request, env) {
    const isOperators = env.OPERATOR_ORIGINS.includes(new URL(request.url).origin) && request.headers.has("authorization");
    return (isOperators ? env.OPERATOR : env.NETWORK).fetch(request);
  },
};`;

const SpawnedSchema = z.object({
  process: z.custom<ChildProcess>((value) => typeof value === "object" && value !== null),
});

const SCHEDULE_MS = 600_000;
/** The Worker beside the product's that migrates and sweeps (d1-migrate.ts). */
const KEEPER = "keeper";
const keeperSecret = randomBytes(32).toString("base64url");

let miniflare: Miniflare | null = null;
let plugins: PluginHosts | null = null;
let stopping = false;
let restartTimer: NodeJS.Timeout | null = null;

function report(message: EdgeReport): void {
  if (process.connected) process.send?.(message);
}

async function leave(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  plugins?.stop();
  await miniflare?.dispose();
  process.exit(code);
}

/** Miniflare keeps its child to itself; Node tells of every process that is spawned. */
function watchWorkerd(): void {
  subscribe("child_process", (message) => {
    const { process: child } = SpawnedSchema.parse(message);
    child.once("spawn", () => {
      if (child.pid === undefined || !child.spawnfile.endsWith("workerd") || isPluginHost(child)) return;
      report({ type: "workerd", pid: child.pid });
      child.once("exit", () => {
        if (stopping) return;
        restartTimer ??= setTimeout(() => void leave(1), RESTART_LIMIT_MS);
      });
    });
  });
}

async function start(options: EdgeOptions): Promise<void> {
  const { worker } = options;
  const blobs = join(options.statePath, "blobs");
  mkdirSync(blobs, { recursive: true });
  const loopback = options.allowLoopback ? ["127.0.0.0/8", "::1/128"] : [];
  const everywhere = options.offline ? [] : ["public"];
  plugins = new PluginHosts({
    say: (line) => console.log(line),
    onProcess: (pid) => report({ type: "plugin", pid }),
    hasNetwork: !options.offline,
  });
  miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      cf: false,
      ...(options.inspectorPort === undefined ? {} : { inspectorPort: options.inspectorPort }),
      telemetry: { enabled: false },
      log: new Log(LogLevel.ERROR),
      resourcePersistencePath: options.statePath,
      workers: [
        {
          ...worker,
          bindings: { ...worker.bindings, ...options.bindings },
          serviceBindings: {
            ...worker.serviceBindings,
            // The content of the local bucket (src/storage/local).
            BLOB_CONTENT: { disk: { path: blobs, writable: true } },
            PLUGIN_SUPERVISOR: supervisorOf(plugins),
            PLUGIN_HOSTS: { network: { allow: ["127.0.0.0/8"] } },
            ...(options.assetsPath === undefined
              ? {}
              : { DOCS_ASSETS: { disk: { path: options.assetsPath, writable: false } } }),
          },
          outboundService: "outbound",
          unsafeDirectSockets: [{ host: options.host ?? "127.0.0.1", port: options.port }],
        },
        {
          name: KEEPER,
          compatibilityDate: worker.compatibilityDate,
          modules: true,
          script: stripTypeScriptTypes(readFileSync(new URL("d1-migrate.ts", import.meta.url), "utf8")),
          ...(worker.d1Databases === undefined ? {} : { d1Databases: worker.d1Databases }),
          bindings: { SECRET: keeperSecret },
          serviceBindings: { EDGE: worker.name },
        },
        {
          name: "outbound",
          compatibilityDate: worker.compatibilityDate,
          modules: true,
          script: OUTBOUND,
          bindings: { OPERATOR_ORIGINS: options.operatorOrigins },
          serviceBindings: {
            NETWORK: { network: { allow: [...everywhere, ...loopback], tlsOptions: { trustBrowserCas: true } } },
            OPERATOR: { network: { allow: [...everywhere, "private"], tlsOptions: { trustBrowserCas: true } } },
          },
        },
      ],
    }),
    handleStructuredLogs: ({ level, message }) => {
      (level === "error" || level === "warn" ? process.stderr : process.stdout).write(`${message}\n`);
    },
    unsafeHandleRuntimeRestart: () => {
      if (restartTimer !== null) clearTimeout(restartTimer);
      restartTimer = null;
      report({ type: "ready" });
    },
  });
  await miniflare.ready;
  await askKeeper("migrate", options.migrations);
  report({ type: "ready" });
  setInterval(() => void runSchedule(), SCHEDULE_MS).unref();
}

/** What `crons` of wrangler.toml does in a deployment. */
async function runSchedule(): Promise<void> {
  try {
    await askKeeper("sweep", null);
  } catch (error) {
    if (!stopping) console.error(`the scheduled sweep failed: ${String(error)}`);
  }
}

async function askKeeper(what: "migrate" | "sweep", body: unknown): Promise<void> {
  const answer = await miniflare?.dispatchFetch(`http://${KEEPER}/${what}`, {
    method: "POST",
    headers: { "MF-Route-Override": KEEPER, authorization: keeperSecret },
    body: JSON.stringify(body),
  });
  const problem = await answer?.text();
  if (answer?.ok === false) throw new Error(problem);
}

watchWorkerd();
process.on("disconnect", () => void leave(0));
process.on("SIGTERM", () => void leave(0));
process.on("SIGINT", () => {});
process.on("message", (raw) => {
  const command = EdgeCommandSchema.parse(raw);
  if (command.type === "stop") {
    void leave(0);
    return;
  }
  start(command).catch((error: unknown) => {
    report({ type: "failed", message: error instanceof Error ? error.message : String(error) });
    void leave(1);
  });
});
