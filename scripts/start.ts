/** `npm start`: brings the whole system up on this machine, carries one prediction through it, and stays until Ctrl-C. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { helloThrough } from "./lib/hello.ts";
import { sayNearestLine } from "./lib/nearest-line.ts";
import { StackError } from "./lib/stack-error.ts";
import { startStack } from "./lib/stack.ts";
import type { Stack } from "./lib/stack.ts";
import { welcome } from "./lib/welcome.ts";

const help = `npm start: Edgeplane on this machine, with a pool of CPU instances that runs the models of examples/.

  PORT                      port on 127.0.0.1 (8787)
  EDGEPLANE_STATE_DIR       where state lies (.edgeplane)
  EDGEPLANE_MODELS          the folder of the models (examples)
  EDGEPLANE_PYTHON          the Python that runs models, 3.8 or newer (python3)
  EDGEPLANE_ALLOW_LOOPBACK  1: webhooks and URL inputs may reach this machine's loopback
  EDGEPLANE_OPERATOR_ORIGINS  by commas, where services of your own are that the edge may call, such as a bridge: http://10.0.0.5:8790
  EDGEPLANE_DELIVERY        kv: results come home through the Redis of EDGEPLANE_KV_URL, EDGEPLANE_KV_TOKEN (docs/delivery.md)

Ctrl-C stops it; state is kept. docs/local.md tells more.`;

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  console.log(help);
  process.exit(0);
}

const env = process.env;
const stateDir = env["EDGEPLANE_STATE_DIR"] ?? ".edgeplane";
const devFile = join(stateDir, "dev.json");
const examples = fileURLToPath(new URL("../examples", import.meta.url));
const models = env["EDGEPLANE_MODELS"];
let stack: Stack | null = null;
let stopping = false;

async function stop(signal: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  console.log(`\nedgeplane: ${signal}, stopping…`);
  rmSync(devFile, { force: true });
  await stack?.stop();
  console.log("edgeplane: stopped; state is kept.");
  process.exit(0);
}

/** The edge's side of the pool's own settings, which it takes from the environment. */
function deliveryVars(): Record<string, string> {
  if (env["EDGEPLANE_DELIVERY"] !== "kv") return {};
  const { EDGEPLANE_KV_URL: url = "", EDGEPLANE_KV_TOKEN: token = "", EDGEPLANE_KV_PREFIX: prefix } = env;
  const vars = { DELIVERY: "kv", KV_REST_URL: url, KV_REST_TOKEN: token };
  return prefix === undefined ? vars : { ...vars, KV_PREFIX: prefix };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void stop(signal));

try {
  const startedAt = performance.now();
  stack = await startStack({
    port: Number(env["PORT"] ?? 8787),
    stateDir,
    allowLoopback: env["EDGEPLANE_ALLOW_LOOPBACK"] === "1",
    operatorOrigins: (env["EDGEPLANE_OPERATOR_ORIGINS"] ?? "").split(",").filter((origin) => origin !== ""),
    say: (line) => console.log(line),
    onOwned: () => rmSync(devFile, { force: true }),
    vars: deliveryVars(),
    ...(models === undefined ? {} : { models }),
  });
  const output = await helloThrough(stack);
  console.log(welcome(stack, output, (performance.now() - startedAt) / 1000, devFile));
  const { url, apiKey, adminKey, poolToken, kafka } = stack;
  await sayNearestLine({ url, apiKey, models: models ?? examples, say: (line) => console.log(line) });
  if (stopping) await new Promise(() => {});
  writeFileSync(devFile, JSON.stringify({ url, apiKey, adminKey, poolToken, kafka }, null, 2), { mode: 0o600 });
} catch (error) {
  if (stopping) await new Promise(() => {});
  console.error(
    `edgeplane: ${error instanceof StackError ? error.message : error instanceof Error ? error.stack : String(error)}`,
  );
  await stack?.stop();
  process.exit(1);
}
