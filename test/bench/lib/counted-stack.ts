/**
 * A stack whose Worker counts calls and rows: as scripts/lib/stack.ts brings it up, with another entry around the same
 * code.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { moduleOf, ownRoot } from "./checkout.ts";

const wrapper = fileURLToPath(new URL("counted-entry.js", import.meta.url));

const CountsSchema = z.record(z.string(), z.number());
const CountersSchema = z.object({
  workerRequests: z.number(),
  workerPending: z.number(),
  calls: CountsSchema,
  pending: CountsSchema,
  rowsWritten: CountsSchema,
  alarmsSet: CountsSchema,
  slowestMs: CountsSchema,
});
export type Counters = z.infer<typeof CountersSchema>;

const CallsSchema = z.object({ results: z.array(z.unknown()), elapsedMs: z.array(z.number()) });

const MarksSchema = z.array(z.tuple([z.string(), z.number()]));
/** What happened in the Worker or in an object, and when (whole milliseconds since the epoch). */
export type Mark = z.infer<typeof MarksSchema>[number];

export type CountedStack = {
  url: string;
  apiKey: string;
  adminKey: string;
  poolToken: string;
  pids(): { workerd: number | null; pool: number | null };
  counters(): Promise<Counters>;
  /** Sets all counters to nothing but those of what is pending. */
  reset(): Promise<void>;
  /** Calls a method of one object, one call after the other; `elapsedMs` is each call's time as its caller sees it. */
  call(
    binding: string,
    name: string,
    method: string,
    calls: readonly (readonly unknown[])[],
  ): Promise<z.infer<typeof CallsSchema>>;
  /** What happened since it was last called; from the first call on. */
  marks(): Promise<Mark[]>;
  startPool(): void;
  stopPool(): Promise<void>;
  stop(): Promise<void>;
};

export type CountedStackOptions = {
  port: number;
  stateDir: string;
  models: string;
  vars?: Record<string, string>;
  inspectorPort?: number;
  /** The checkout that is run. Default: the bench's own. */
  product?: string;
};

/** How the checkout at `root` brings up its parts. */
async function scriptsOf(root: string) {
  return {
    ...(await moduleOf<typeof import("../../../scripts/lib/edge.ts")>(root, "scripts/lib/edge.ts")),
    ...(await moduleOf<typeof import("../../../scripts/lib/local-accounts.ts")>(root, "scripts/lib/local-accounts.ts")),
    ...(await moduleOf<typeof import("../../../scripts/lib/pool.ts")>(root, "scripts/lib/pool.ts")),
    ...(await moduleOf<typeof import("../../../scripts/lib/preflight.ts")>(root, "scripts/lib/preflight.ts")),
    ...(await moduleOf<typeof import("../../../scripts/lib/secrets.ts")>(root, "scripts/lib/secrets.ts")),
    ...(await moduleOf<typeof import("../../../scripts/lib/worker-bundle.ts")>(root, "scripts/lib/worker-bundle.ts")),
    ...(await moduleOf<typeof import("../../../scripts/lib/worker-config.ts")>(root, "scripts/lib/worker-config.ts")),
  };
}

export async function startCountedStack(options: CountedStackOptions): Promise<CountedStack> {
  const { port, stateDir, models, inspectorPort, product = ownRoot } = options;
  mkdirSync(stateDir, { recursive: true });
  const scripts = await scriptsOf(product);
  const { createEdge, createPool, bundleWorker, ensureCredentials, findPython, loadSecrets, readWorkerConfig } =
    scripts;
  const migrations = join(product, "src/registry/migrations");
  const url = `http://127.0.0.1:${port}`;
  const secrets = loadSecrets(stateDir);
  const kafkaUser = { username: secrets.kafkaUsername, password: secrets.kafkaPassword };
  const edge = createEdge(
    readWorkerConfig(countedConfig(product, stateDir), migrations, join(stateDir, "worker-config.json")).then(
      async (config) => ({
        type: "start" as const,
        worker: await bundleWorker(config),
        migrations: config.migrations,
        port,
        ...(inspectorPort === undefined ? {} : { inspectorPort }),
        statePath: join(stateDir, "edge"),
        bindings: {
          SHARD_COUNT: "1",
          LOG_BROKERS: "1",
          LOG_PARTITIONS: "1",
          EDGEPLANE_SECRET: secrets.edgeplaneSecret,
          ADMIN_KEY: secrets.adminKey,
          KAFKA_USERS: JSON.stringify([{ ...kafkaUser, produce: ["*"], consume: ["*"], create: true }]),
          ...options.vars,
        },
        allowLoopback: false,
        offline: true,
        operatorOrigins: [],
      }),
    ),
    () => {},
    () => {},
  );
  await edge.start();
  const credentials = await ensureCredentials(url, secrets);
  const pool = createPool(
    {
      url,
      token: credentials.poolToken,
      models,
      stateDir: join(stateDir, "pool"),
      python: await findPython(),
      env: { EDGEPLANE_METRICS_PORT: "0" },
    },
    () => {},
    () => {},
  );
  pool.start();
  const ask = async (init: RequestInit = {}): Promise<unknown> => {
    const response = await fetch(`${url}/__bench`, init);
    if (!response.ok) throw new Error(`/__bench answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
    return response.json();
  };
  return {
    url,
    ...credentials,
    adminKey: secrets.adminKey,
    pids: () => ({ workerd: edge.pids().workerd, pool: pool.pid }),
    counters: async () => CountersSchema.parse(await ask()),
    async reset() {
      await ask({ method: "DELETE" });
    },
    call: async (binding, name, method, calls) =>
      CallsSchema.parse(await ask({ method: "POST", body: JSON.stringify({ binding, name, method, calls }) })),
    marks: async () => MarksSchema.parse(await ask({ method: "PUT" })),
    startPool: () => pool.start(),
    stopPool: () => pool.stop(),
    async stop() {
      await pool.stop();
      await edge.stop();
    },
  };
}

/** wrangler.toml with an entry that wraps the product's; answers its path. */
function countedConfig(root: string, stateDir: string): string {
  const migrations = join(root, "src/registry/migrations");
  const config = readFileSync(join(root, "wrangler.toml"), "utf8");
  const main = join(root, "src/index.ts");
  // Each environment names its own.
  const classes = [...new Set(Array.from(config.matchAll(/class_name = "(\w+)"/g), (match) => match[1]))];
  const entry = `
    import worker, { ${classes.map((name) => `${name} as Plain${name}`).join(", ")} } from ${JSON.stringify(main)};
    import { counted, countedWorker } from ${JSON.stringify(wrapper)};
    ${classes.map((name) => `export class ${name} extends counted("${name}", Plain${name}) {}`).join("\n")}
    export default countedWorker(worker);`;
  const entryPath = join(stateDir, "counted-entry.ts");
  const configPath = join(stateDir, "wrangler.toml");
  writeFileSync(entryPath, entry);
  writeFileSync(
    configPath,
    config
      .replace(/^main = .*$/m, `main = ${JSON.stringify(entryPath)}`)
      .replace(/^migrations_dir = .*$/m, `migrations_dir = ${JSON.stringify(migrations)}`),
  );
  return configPath;
}
