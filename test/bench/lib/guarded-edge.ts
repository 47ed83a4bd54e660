/**
 * The Worker of test/worker/guarded-entry.ts in the local stack's workerd, without a pool, and what its settings are
 * set by.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createEdge } from "../../../scripts/lib/edge.ts";
import { ensureCredentials } from "../../../scripts/lib/local-accounts.ts";
import { loadSecrets } from "../../../scripts/lib/secrets.ts";
import { bundleWorker } from "../../../scripts/lib/worker-bundle.ts";
import { readWorkerConfig } from "../../../scripts/lib/worker-config.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

export type GuardedEdge = {
  url: string;
  apiKey: string;
  pid(): number | null;
  /** Publishes settings, and waits until they hold. */
  publish(settings: object): Promise<void>;
  admin(method: string, path: string, body: object): Promise<unknown>;
  stop(): Promise<void>;
};

/** What is published holds everywhere after so long. */
const HOLDS_AFTER_MS = 6000;

/** `inspectorPort`: where workerd's inspector listens; without it there is none. */
export async function startGuardedEdge(
  port: number,
  stateDir: string,
  upstream: string,
  inspectorPort?: number,
): Promise<GuardedEdge> {
  const url = `http://127.0.0.1:${port}`;
  const secrets = loadSecrets(stateDir);
  const migrations = join(root, "src/registry/migrations");
  const config = await readWorkerConfig(guardedConfig(stateDir, migrations), migrations, join(stateDir, "config.json"));
  const edge = createEdge(
    bundleWorker(config).then((worker) => ({
      type: "start" as const,
      worker,
      migrations: config.migrations,
      port,
      ...(inspectorPort === undefined ? {} : { inspectorPort }),
      statePath: join(stateDir, "edge"),
      bindings: {
        SHARD_COUNT: "1",
        EDGEPLANE_SECRET: secrets.edgeplaneSecret,
        ADMIN_KEY: secrets.adminKey,
        ALLOW_LOOPBACK_TARGETS: "1",
        UPSTREAM: upstream,
      },
      allowLoopback: true,
      offline: true,
      operatorOrigins: [],
    })),
    (line) => console.log(line),
    () => {},
  );
  await edge.start();
  const { apiKey } = await ensureCredentials(url, secrets);
  const admin = async (method: string, path: string, body: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${secrets.adminKey}`, "content-type": "application/json" };
    const answer = await fetch(`${url}/admin/v1${path}`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${(await answer.text()).slice(0, 500)}`);
    return answer.json();
  };
  return {
    url,
    apiKey,
    pid: () => edge.pids().workerd,
    async publish(settings) {
      await admin("POST", "/settings", { settings, why: "a bench" });
      await new Promise((resolve) => setTimeout(resolve, HOLDS_AFTER_MS));
    },
    admin,
    stop: () => edge.stop(),
  };
}

/** wrangler.toml with that Worker as its entry; answers its path. */
function guardedConfig(stateDir: string, migrations: string): string {
  const entry = fileURLToPath(new URL("../../worker/guarded-entry.ts", import.meta.url));
  const path = join(stateDir, "wrangler.toml");
  const config = readFileSync(join(root, "wrangler.toml"), "utf8")
    .replace(/^main = .*$/m, `main = ${JSON.stringify(entry)}`)
    .replace(/^migrations_dir = .*$/gm, `migrations_dir = ${JSON.stringify(migrations)}`);
  writeFileSync(path, config);
  return path;
}
