/**
 * `npm start`: brings the whole system up on this machine, carries one prediction through it, and stays until Ctrl-C.
 */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { helloThrough } from "./lib/hello.ts";
import { sayNearestLine } from "./lib/nearest-line.ts";
import { endLeftMachines, SCALED_MODEL, startMachines } from "./lib/local-machines.ts";
import type { LocalMachines } from "./lib/local-machines.ts";
import { offeredModels } from "./lib/offered.ts";
import { findPython } from "./lib/preflight.ts";
import { refuseArguments } from "./lib/refuse-arguments.ts";
import { plainMessage, StackError } from "./lib/stack-error.ts";
import { readStartSettings } from "./lib/start-settings.ts";
import type { StartSettings } from "./lib/start-settings.ts";
import { startStack } from "./lib/stack.ts";
import type { Stack } from "./lib/stack.ts";
import { apiAnswers, scalesToZero, welcome, welcomeOwn, whereThingsAre } from "./lib/welcome.ts";

const help = `npm start: Edgeplane on this machine, with a pool that runs the models of examples/, or your own.

  PORT                      port on 127.0.0.1 (8787)
  EDGEPLANE_STATE_DIR       where state lies (.edgeplane)
  EDGEPLANE_MODELS          the folder of the models, one subfolder each (examples)
  EDGEPLANE_PYTHON          the Python that runs models, 3.8 or newer (python3)
  EDGEPLANE_ALLOW_LOOPBACK  1: webhooks and URL inputs may reach this machine's loopback (0)
  EDGEPLANE_OPERATOR_ORIGINS  by commas, where services of your own are that the edge may call, such as a bridge: http://10.0.0.5:8790 (none)
  EDGEPLANE_METRICS_PORT    the port of the pool's /healthz, /models and /metrics (a free one, which its first line names)
  EDGEPLANE_DELIVERY        kv: results come home through the Redis of EDGEPLANE_KV_URL, EDGEPLANE_KV_TOKEN (docs/delivery.md)

Ctrl-C stops it; state is kept. docs/local.md tells more.`;

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  console.log(help);
  process.exit(0);
}

const env = process.env;
const say = (line: string): void => console.log(line);
let settings: StartSettings;
try {
  refuseArguments("npm start --");
  settings = readStartSettings(env);
} catch (error) {
  console.error(`edgeplane: ${plainMessage(error)}`);
  process.exit(1);
}
const { stateDir, models, showsExamples } = settings;
/** Both hold the address and the keys: one is there once the API answers, the other once all models are offered. */
const keysFile = join(stateDir, "keys.json");
const devFile = join(stateDir, "dev.json");
let stack: Stack | null = null;
let starting: Promise<Stack> | null = null;
let machines: Promise<LocalMachines | null> | null = null;
const givenUp = new AbortController();
let stopping = false;

function removeFiles(): void {
  for (const file of [keysFile, devFile]) rmSync(file, { force: true });
}

/** Only the whole file is ever seen: who waits for it reads it at once. */
function writeAccess(file: string, { url, apiKey, adminKey, poolToken, kafka }: Stack): void {
  writeFileSync(`${file}.new`, JSON.stringify({ url, apiKey, adminKey, poolToken, kafka }, null, 2), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

async function stop(signal: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  console.log(`\nedgeplane: ${signal}, stopping…`);
  removeFiles();
  givenUp.abort();
  const begun = await starting?.catch(() => null);
  let code = 0;
  const failed = (error: unknown): void => {
    console.error(`edgeplane: not all was stopped: ${plainMessage(error)}`);
    code = 1;
  };
  // Machines that can't be returned must not leave the pool and the edge behind as well.
  await (await machines)?.stop().catch(failed);
  await begun?.stop().catch(failed);
  if (code === 0) console.log("edgeplane: stopped; state is kept.");
  process.exit(code);
}

/** The edge's side of the pool's own settings, which it takes from the environment. */
function deliveryVars(): Record<string, string> {
  if (env["EDGEPLANE_DELIVERY"] !== "kv") return {};
  const { EDGEPLANE_KV_URL: url = "", EDGEPLANE_KV_TOKEN: token = "", EDGEPLANE_KV_PREFIX: prefix } = env;
  const vars = { DELIVERY: "kv", KV_REST_URL: url, KV_REST_TOKEN: token };
  return prefix === undefined ? vars : { ...vars, KV_PREFIX: prefix };
}

/** The examples have one model that no pool of this machine has until it is needed. */
async function showScaling(running: Stack): Promise<LocalMachines | null> {
  try {
    const python = await findPython();
    const started = await startMachines({ ...running, stateDir, python, say, signal: givenUp.signal });
    say(scalesToZero(running, SCALED_MODEL, resolve(devFile)));
    return started;
  } catch (error) {
    if (!stopping) say(`machines │ there are none to be made: ${plainMessage(error)}`);
    return null;
  }
}

/** The local stack's pool takes any free port for its state unless one is named. */
function poolPort(): Record<string, string> {
  const { EDGEPLANE_METRICS_PORT: port = "" } = env;
  return port === "" ? {} : { EDGEPLANE_METRICS_PORT: port };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void stop(signal));

try {
  const startedAt = performance.now();
  const refused = Promise.withResolvers<never>();
  refused.promise.catch(() => {});
  starting = startStack({
    signal: givenUp.signal,
    port: settings.port,
    stateDir,
    models,
    allowLoopback: settings.allowLoopback,
    operatorOrigins: settings.operatorOrigins,
    say,
    onOwned: removeFiles,
    vars: deliveryVars(),
    poolEnv: poolPort(),
    servesPool: true,
    onPoolRefused: () => refused.reject(new StackError("the pool can't start; its line above says what to mend.")),
  });
  stack = await starting;
  if (stopping) await new Promise(() => {});
  const seconds = () => (performance.now() - startedAt) / 1000;
  writeAccess(keysFile, stack);
  say(apiAnswers(stack, keysFile, seconds()));
  const offered = await Promise.race([offeredModels(stack, say), refused.promise]);
  const greeting = showsExamples
    ? welcome(stack, await helloThrough(stack), { ...offered, seconds: seconds() })
    : welcomeOwn(stack, { ...offered, seconds: seconds() });
  if (stopping) await new Promise(() => {});
  writeAccess(devFile, stack);
  say(greeting);
  say(whereThingsAre(stack, devFile));
  if (showsExamples) machines = showScaling(stack);
  else await endLeftMachines(stateDir);
  await machines;
  await sayNearestLine({ url: stack.url, apiKey: stack.apiKey, models, say });
} catch (error) {
  if (stopping) await new Promise(() => {});
  console.error(`edgeplane: ${plainMessage(error)}`);
  if (stack !== null) removeFiles();
  await (await machines)?.stop();
  await stack?.stop();
  process.exit(1);
}
