/**
 * Starts, stops and looks at a local cluster. What runs is written in `<dir>/cluster.json`; a process counts as ours
 * only while its command line still names its properties file, so a reused process id is never touched.
 *
 * A broker: formatted → starting → up ("Kafka Server started" in its output) → stopped (SIGTERM, SIGKILL after 15 s).
 */
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, openSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import * as z from "zod";
import { classPath } from "./download.ts";
import { bootstrapServers, brokerProperties, KEYSTORE_PASSWORD, portsOf } from "./properties.ts";
import type { ClusterOptions } from "./properties.ts";

const run = promisify(execFile);
const START_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 15_000;
const MIN_JAVA = 17;
const JVM = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

const StateSchema = z.object({
  clusterId: z.string(),
  port: z.number(),
  brokers: z.union([z.literal(1), z.literal(3)]),
  sasl: z.boolean(),
  tls: z.boolean(),
  pids: z.record(z.string(), z.number()),
});
type State = z.infer<typeof StateSchema>;

export type BrokerStatus = { id: number; address: string; pid: number | null; running: boolean };

/**
 * Starts those brokers of the cluster that don't run, formatting their storage the first time; returns when all are up.
 */
export async function startCluster(options: ClusterOptions, log: (line: string) => void): Promise<BrokerStatus[]> {
  await checkJava();
  const classes = await classPath(process.env, log);
  await mkdir(options.dir, { recursive: true });
  const state = (await readState(options.dir)) ?? {
    clusterId: newClusterId(),
    pids: {},
    port: options.port,
    brokers: options.brokers,
    sasl: options.sasl,
    tls: options.tls,
  };
  const layout: ClusterOptions = {
    dir: options.dir,
    port: state.port,
    brokers: state.brokers,
    sasl: state.sasl,
    tls: state.tls,
  };
  if (layout.port !== options.port || layout.brokers !== options.brokers) {
    throw new Error(
      `${options.dir} holds a cluster of ${layout.brokers} broker(s) on port ${layout.port}. ` +
        "Start it with these, choose another --dir, or remove it with `stop --wipe`.",
    );
  }
  if (layout.tls) await makeKeystore(options.dir);
  const starting = [];
  for (let id = 1; id <= layout.brokers; id++) {
    if (await isOurs(options.dir, id, state.pids[id])) continue;
    starting.push(startBroker(layout, state, id, classes));
  }
  await Promise.all(starting);
  return clusterStatus(options.dir);
}

/** Ends the brokers that run, all or one; with `wipe` also removes what they stored. */
export async function stopCluster(dir: string, choice: { wipe: boolean; broker?: number }): Promise<number> {
  const state = await readState(dir);
  if (state === null) return 0;
  const ids = Object.keys(state.pids)
    .map(Number)
    .filter((id) => choice.broker === undefined || choice.broker === id);
  const stopped = await Promise.all(ids.map(async (id) => stopBroker(dir, id, state.pids[id])));
  if (choice.wipe && choice.broker === undefined) await rm(dir, { recursive: true, force: true });
  return stopped.filter(Boolean).length;
}

/** What the cluster of `dir` consists of and which of it runs; empty when there is none. */
export async function clusterStatus(dir: string): Promise<BrokerStatus[]> {
  const state = await readState(dir);
  if (state === null) return [];
  const ids = Array.from({ length: state.brokers }, (_, index) => index + 1);
  return Promise.all(
    ids.map(async (id) => {
      const pid = state.pids[id] ?? null;
      const running = await isOurs(dir, id, pid);
      return { id, address: `127.0.0.1:${portsOf(state.port, id).plain}`, pid: running ? pid : null, running };
    }),
  );
}

async function startBroker(options: ClusterOptions, state: State, id: number, classes: string): Promise<void> {
  const home = join(options.dir, `broker-${id}`);
  const data = join(home, "data");
  const properties = propertiesPath(options.dir, id);
  await mkdir(home, { recursive: true });
  for (const port of Object.values(portsOf(options.port, id))) await checkPortFree(port);
  await writeFile(properties, brokerProperties(options, id, data));
  if (!existsSync(join(data, "meta.properties"))) {
    const format = ["kafka.tools.StorageTool", "format", "-t", state.clusterId, "-c", properties];
    const quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    await run("java", [...JVM, quiet, "-cp", classes, ...format]).catch((error: { stderr?: string }) => {
      throw new Error(`The storage in ${data} could not be formatted: ${(error.stderr ?? "").slice(-2000)}`);
    });
  }
  const output = join(home, "output.log");
  await writeFile(output, "");
  const file = openSync(output, "a");
  const logging = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
  ];
  const child = spawn("java", [...JVM, ...logging, "-cp", classes, "kafka.Kafka", properties], {
    detached: true,
    stdio: ["ignore", file, file],
  });
  child.unref();
  if (child.pid === undefined) throw new Error("Can't start java");
  state.pids[id] = child.pid;
  await writeFile(statePath(options.dir), JSON.stringify(state, null, 2));
  await waitUntilUp(output, child.pid);
}

/** An id as Kafka makes them. One that begins with a hyphen would read as an option to its own tools. */
function newClusterId(): string {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    if (!id.startsWith("-")) return id;
  }
}

async function waitUntilUp(output: string, pid: number): Promise<void> {
  const until = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < until) {
    const text = await readFile(output, "utf8");
    if (text.includes("Kafka Server started")) return;
    if (!isAlive(pid)) throw new Error(`The broker ended while starting; the end of ${output}:\n${text.slice(-2000)}`);
    await sleep(100);
  }
  throw new Error(`The broker did not start within ${START_TIMEOUT_MS / 1000} s; look at ${output}`);
}

async function stopBroker(dir: string, id: number, pid: number | undefined): Promise<boolean> {
  if (pid === undefined || !(await isOurs(dir, id, pid))) return false;
  process.kill(pid, "SIGTERM");
  const until = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid) && Date.now() < until) await sleep(50);
  if (await isOurs(dir, id, pid)) process.kill(pid, "SIGKILL");
  return true;
}

async function makeKeystore(dir: string): Promise<void> {
  const keystore = join(dir, "keystore.p12");
  if (existsSync(keystore)) return;
  const common = ["-keystore", keystore, "-storetype", "PKCS12", "-storepass", KEYSTORE_PASSWORD, "-alias", "broker"];
  const names = ["-dname", "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1"];
  await run("keytool", ["-genkeypair", "-keyalg", "EC", "-validity", "3650", ...names, ...common]);
  const { stdout } = await run("keytool", ["-exportcert", "-rfc", ...common]);
  await writeFile(join(dir, "ca.pem"), stdout);
}

async function checkJava(): Promise<void> {
  const wanted = `Apache Kafka needs a Java ${MIN_JAVA} runtime (or later) on the PATH: install a JDK, e.g. openjdk-17-jdk-headless`;
  const found = await run("java", ["-version"]).catch(() => null);
  if (found === null) throw new Error(`java was not found. ${wanted}.`);
  const version = /version "(\d+)/.exec(found.stderr + found.stdout)?.[1];
  if (Number(version) < MIN_JAVA) throw new Error(`java is version ${version}. ${wanted}.`);
}

async function checkPortFree(port: number): Promise<void> {
  const taken = await new Promise<boolean>((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
  if (taken) throw new Error(`Port ${port} is in use: choose another with --port.`);
}

async function isOurs(dir: string, id: number, pid: number | null | undefined): Promise<boolean> {
  if (pid === null || pid === undefined || !isAlive(pid)) return false;
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(async () => {
    const { stdout } = await run("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
    return stdout;
  });
  return commandLine.includes(propertiesPath(dir, id));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function readState(dir: string): Promise<State | null> {
  const text = await readFile(statePath(dir), "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return StateSchema.parse(JSON.parse(text));
  } catch {
    throw new Error(`${statePath(dir)} doesn't say what runs: end what does by hand, and remove ${dir}.`);
  }
}

function statePath(dir: string): string {
  return join(dir, "cluster.json");
}

function propertiesPath(dir: string, id: number): string {
  return join(dir, `broker-${id}`, "server.properties");
}

export { bootstrapServers };
