/**
 * Machines that come and go under a load of bursts, from none to several and back, while everything that can go wrong
 * does: pools are killed, the edge and the provider service start again, and the provider refuses, is slow, lies, and
 * takes machines back with and without notice. Every prediction ends once, with its own answer, and its usage counts
 * once; the machines go back to none, and none is left over.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { timesOf } from "../../../provider/configuration.ts";
import { edgeAt } from "../../../provider/edge.ts";
import { Entry } from "../../../provider/entry.ts";
import { namesWith } from "../../../provider/names.ts";
import { local, LocalSchema } from "../../../provider/providers/local.ts";
import { Reconciler } from "../../../provider/reconciler.ts";
import { ACCOUNT, callAdmin } from "../../../scripts/lib/local-accounts.ts";
import { startTimeOf } from "../../../scripts/lib/process-info.ts";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { seededRandom } from "../../../src/scaling/simulation/random.ts";
import { PROPERTY_SEED } from "../../property-seed.ts";
import { createClient, isFinished } from "../harness/client.ts";
import type { View } from "../harness/client.ts";
import {
  judgeDevices,
  lineOfDevice,
  measureDevices,
  notingIn,
  readHeldRuns,
  runsByKey,
} from "../harness/held-devices.ts";
import { openUsageRecords } from "../harness/usage-records.ts";
import { accountNamed, settleUsage } from "../harness/usage.ts";
import { Hostile } from "./hostile.ts";

const MAX_MACHINES = 8;
/** How many come at once, and when. */
const BURSTS = [
  { atMs: 0, count: 24 },
  { atMs: 9000, count: 30 },
  { atMs: 18_000, count: 12 },
] as const;
/** With which notice the provider takes machines back: of the first ones, as soon as one runs. */
const NOTICES_S = [0, 5] as const;
const LIMIT_MS = 150_000;
const BACK_TO_NONE_MS = 90_000;
const root = join(import.meta.dirname, "models");

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-machines-"));
const folder = join(stateDir, "provider");
const runsFile = join(stateDir, "runs");
/** Models that are kept apart can't note their runs there. */
const noting = { ...notingIn(runsFile), EDGEPLANE_ISOLATION: "off" };
const said: string[] = [];
/** Machines that the provider took back. */
const takenBack: string[] = [];
const random = seededRandom(PROPERTY_SEED);
let stack: Stack;
let hostile: Hostile;
let service: Entry;
let token: string;

const SettingsSchema = z.object({ settings: z.looseObject({}) });
const ScalingSchema = z.looseObject({
  machines: z.array(z.looseObject({ id: z.string(), state: z.string(), why: z.string() })),
  providers: z.array(z.looseObject({ orphans_returned: z.number(), duplicates_returned: z.number() })),
});
const admin = (method: "GET" | "POST", path: string, body?: unknown) =>
  callAdmin(stack.url, stack.adminKey, method, path, body);

/** A service as it starts anew: what it knew is gone. */
function startService(): Entry {
  const entry = { name: "here", kind: "local" as const, prefix: "edgeplane-", ...LocalSchema.parse({ hardware: {} }) };
  const times = { ...timesOf(entry), settleMs: 3000 };
  const entered = new Entry({
    provider: hostile,
    reconciler: new Reconciler({ ...entry, names: namesWith(entry.prefix), times }),
    edge: edgeAt(new URL(stack.url), token),
    log: pino({ base: null }, { write: (line: string) => void said.push(line.trim()) }),
    onRefused: (why) => said.push(why),
  });
  entered.start();
  return entered;
}

beforeAll(async () => {
  const say = (line: string): void => void said.push(line);
  stack = await startStack({ stateDir, models: root, poolEnv: noting, vars: { PUBLISH_TOPICS: "usage" }, say });
  await stack.models.offered;
  await stack.stopPool();
  const { settings } = SettingsSchema.parse(await admin("GET", "settings"));
  const waits = { target_wait_s: 1, keep_alive_s: { min: 1, max: 3 }, boot_timeout_s: 30, drain_timeout_s: 1 };
  const scaling = { classes: { cpu: { max: MAX_MACHINES, ...waits } } };
  await admin("POST", "settings", { settings: { ...settings, scaling }, why: "chaos" });
  token = z.object({ token: z.string() }).parse(await admin("POST", "provider-tokens", { providers: ["here"] })).token;
  const env = { ...noting, EDGEPLANE_MODELS: root, EDGEPLANE_ENVIRONMENTS_DIR: join(stateDir, "environments") };
  const options = LocalSchema.parse({ stopMs: 8000, hardware: { cpu: { max: 2 * MAX_MACHINES, env } } });
  hostile = new Hostile(local(options, folder, namesWith("edgeplane-")), random);
  service = startService();
});
afterAll(async () => {
  await service?.stop();
  hostile.behaves = true;
  const { signal } = new AbortController();
  for (const { providerId } of (await hostile?.list(signal)) ?? []) await hostile.destroy(providerId, signal);
  await stack?.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

it("ends every prediction once and leaves no machine, whatever happens", { timeout: LIMIT_MS * 2 }, async () => {
  const client = createClient(stack.url, stack.apiKey, AbortSignal.timeout(LIMIT_MS));
  const ids = new Map<string, string>();
  const ask = async (name: string): Promise<[string, View | null]> => {
    const input = { name, seconds: 0.2 + 0.8 * random() };
    const { id } = await client.create(`machines-${name}`, { model: "local/work", input });
    ids.set(name, id);
    for (;;) {
      const view = await client.get(id);
      if (view === null || isFinished(view)) return [name, view];
    }
  };
  // Until a machine has set the version up, two at most are rented for it: too few for what is to come.
  const first = await ask("first");
  const asked = BURSTS.flatMap(({ atMs, count }, burst) =>
    Array.from({ length: count }, async (_, n) => {
      await sleep(atMs);
      return ask(`${burst}-${n}`);
    }),
  );
  const pids = new Set<number>();
  const stop = new AbortController();
  const disorder = Promise.all([watch(pids, stop.signal), makeTrouble(stop.signal)]);
  const ended = [first, ...(await Promise.all(asked).finally(() => stop.abort()))];
  await disorder;
  const told = () => `seed ${PROPERTY_SEED}\n${JSON.stringify(hostile.told)}\n${said.slice(-60).join("\n")}`;
  for (const [name, view] of ended) expect(view, told()).toMatchObject({ status: "succeeded", output: name });
  const left = async () => {
    const { machines } = ScalingSchema.parse(await admin("GET", "scaling"));
    return {
      edge: machines.map(({ id, state, why }) => ({ id, state, why })),
      here: readdirSync(join(folder, "machines")),
    };
  };
  await expect.poll(left, { timeout: BACK_TO_NONE_MS, interval: 250, message: told() }).toEqual({ edge: [], here: [] });
  expect(
    [...pids].filter((pid) => startTimeOf(pid) !== null),
    told(),
  ).toStrictEqual([]);
  expect(hostile.told.madeUnheard).toBeGreaterThan(0);
  expect(hostile.told.liedOfReturn).toBeGreaterThan(0);
  expect(takenBack, told()).toHaveLength(NOTICES_S.length);
  await expectUsage(ended, ids);
  const { providers } = ScalingSchema.parse(await admin("GET", "scaling"));
  const [{ orphans_returned: orphans, duplicates_returned: duplicates } = {}] = providers;
  const faults = Object.entries(hostile.told).map(([what, count]) => `${what} ${count}`);
  console.log(
    `machines: ${ended.length} predictions ended once on ${pids.size} machines (${faults.join(", ")}); ` +
      `${orphans} orphans and ${duplicates} duplicates were returned (seed ${PROPERTY_SEED})`,
  );
});

/** Each record counts once, whatever became of the machines, and each device has what its models measured. */
async function expectUsage(ended: readonly [string, View | null][], ids: ReadonlyMap<string, string>): Promise<void> {
  const held = readHeldRuns(runsFile);
  const runs = runsByKey(held);
  const predictions = ended.flatMap(([name, view]) =>
    view === null ? [] : [{ view, runs: runs.get(name)?.length ?? 0 }],
  );
  const usage = await openUsageRecords(stack.kafka, "oldest");
  const readers = [{ account: await accountNamed(stack, ACCOUNT), key: stack.apiKey }];
  expect(await settleUsage(stack, usage, readers, predictions)).toEqual([]);
  const devices = measureDevices(held, [...usage.records.values()], ids);
  console.log(`machines: ${devices.map(lineOfDevice).join("; ")}`);
  expect(judgeDevices(devices)).toEqual([]);
}

/** Notes every process that was ever a machine. */
async function watch(pids: Set<number>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const pid of running()) pids.add(pid);
    await sleep(50);
  }
}

function running(): number[] {
  const machines = join(folder, "machines");
  return readdirSync(machines).flatMap((name) => pidOf(join(machines, name)) ?? []);
}

function pidOf(machine: string): number | null {
  try {
    return Number(readFileSync(join(machine, "process"), "utf8").split("\n")[0]);
  } catch {
    return null;
  }
}

/** A machine is gone, with its disk. */
function vanish(name: string): void {
  const machine = join(folder, "machines", name);
  const pid = pidOf(machine);
  if (pid !== null && startTimeOf(pid) !== null) process.kill(pid, "SIGKILL");
  rmSync(machine, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

/** Pools die, workerd and the edge die, and the service starts anew, one after the other. */
async function makeTrouble(signal: AbortSignal): Promise<void> {
  const pause = async (ms: number): Promise<void> => {
    await sleep(ms, undefined, { signal }).catch(() => {});
  };
  const killPool = (): void => {
    const alive = running().filter((pid) => startTimeOf(pid) !== null);
    const pid = alive[Math.floor(random() * alive.length)];
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  };
  const restartService = async (): Promise<void> => {
    await service.stop();
    service = startService();
  };
  const killWorkerd = (): void => stack.killWorkerd();
  const killEdge = (): void => stack.killEdge();
  const losses = NOTICES_S.map((noticeS) => async (): Promise<void> => {
    const id = await hostile.takeBack(noticeS, vanish, signal);
    if (id !== null) takenBack.push(id);
  });
  const troubles: (() => void | Promise<void>)[] = [
    ...losses,
    ...[killPool, killWorkerd, killPool, restartService],
    ...[killPool, killEdge, killPool],
  ];
  for (const trouble of troubles) {
    await pause(2500);
    if (signal.aborted) return;
    await trouble();
  }
}
