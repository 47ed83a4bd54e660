/** Runs the fixture Worker in Miniflare, with its SQLite on disk, so that tests reach the embedded log over HTTP. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

const USERS = [
  { username: "test", password: "test-password", produce: ["*"], consume: ["*"], create: true },
  { username: "reader", password: "reader-password", produce: [], consume: ["public."], create: false },
  { username: "writer", password: "writer-password", produce: ["public."], consume: [], create: false },
];

export type LogServer = {
  /** The address of the Worker; the dialect is under `/kafka`. */
  origin: string;
  url: string;
  username: string;
  password: string;
  /** Stops workerd and starts it again on the same files. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

export type LogServerOptions = {
  brokers?: number;
  partitions?: number;
  users?: boolean;
  vars?: Record<string, string>;
};

export async function startLogServer(options: LogServerOptions = {}): Promise<LogServer> {
  const { brokers = 4, partitions = 4, users = true, vars = {} } = options;
  const folder = await mkdtemp(join(tmpdir(), "edgeplane-log-"));
  const bundle = await build({
    entryPoints: [join(import.meta.dirname, "fixture-worker.mjs")],
    bundle: true,
    format: "esm",
    target: "es2024",
    external: ["cloudflare:*"],
    write: false,
    logLevel: "error",
  });
  const script = bundle.outputFiles[0]?.text ?? "";
  const bindings = {
    LOG_BROKERS: String(brokers),
    LOG_PARTITIONS: String(partitions),
    LOCAL_FAULTS: "1",
    ...(users ? { KAFKA_USERS: JSON.stringify(USERS) } : {}),
    ...vars,
  };
  const begin = async (): Promise<{ miniflare: Miniflare; origin: string }> => {
    const worker = convertV4MiniflareOptions({
      modules: true,
      script,
      compatibilityDate: "2026-11-02",
      bindings,
      durableObjects: { LOG: { className: "LogBroker", useSQLite: true } },
      unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    });
    const miniflare = new Miniflare({ ...worker, resourcePersistencePath: folder });
    await miniflare.ready;
    return { miniflare, origin: (await miniflare.unsafeGetDirectURL()).origin };
  };
  let running = await begin();
  return {
    get origin() {
      return running.origin;
    },
    get url() {
      return `${running.origin}/kafka`;
    },
    username: "test",
    password: "test-password",
    async restart() {
      await running.miniflare.dispose();
      running = await begin();
    },
    async stop() {
      await running.miniflare.dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
