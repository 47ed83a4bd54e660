/** `edgeplane pools`: the GPU hosts, as the edge knows them; and what one of them says of itself. */
import type { Command } from "commander";
import * as z from "zod";
import { CliError, exitCodes, messageOf } from "../errors.ts";
import { parseOptions } from "../context.ts";
import type { Context } from "../context.ts";
import { ago, bytesText, note, printJson, printTable } from "../output.ts";
import { list } from "./admin.ts";
import { showStatus, StatusSchema } from "./pool-status.ts";

const LOOK_LIMIT_MS = 10_000;
/** Where a pool answers unless it was told otherwise. */
const DEFAULT_ADDRESS = "http://127.0.0.1:9464";

const ServedSchema = z.looseObject({
  model: z.string(),
  version: z.string(),
  room: z.number().optional(),
  starts_now: z.number().optional(),
  ready_in_ms: z.number().nullish(),
  problem: z.string().nullish(),
  is_wanted: z.boolean().optional(),
});
export const PoolSchema = z.looseObject({
  session: z.string(),
  name: z.string(),
  state: z.string(),
  is_heard: z.boolean().nullish(),
  connected_at: z.string(),
  seen_at: z.string(),
  version: z.string(),
  lanes: z.array(z.string()),
  devices: z.array(
    z.looseObject({
      id: z.string(),
      name: z.string(),
      memory_bytes: z.number().nullish(),
      problem: z.string().nullish(),
    }),
  ),
  isolation: z.string().nullish(),
  models: z.array(ServedSchema),
});
export type Pool = z.infer<typeof PoolSchema>;

const ListOptionsSchema = z.object({ ended: z.boolean().default(false), models: z.boolean().default(false) });
const StatusOptionsSchema = z.object({ address: z.url({ protocol: /^https?$/ }).optional() });

export function addPools(program: Command, context: Context): void {
  const pools = program.command("pools").description("the GPU hosts that serve models (the operator's key)");
  pools
    .command("list", { isDefault: true })
    .description("those that are there, with what they have room for and what is wrong with them")
    .option("--models", "a line for each model of each pool")
    .option("--ended", "the last of those that left, instead")
    .action(async (options: unknown) => {
      const { ended, models } = parseOptions(ListOptionsSchema, options);
      const found = await readPools(context, ended);
      if (context.globals().json) return printJson(context.io, found);
      if (models) return printTable(context.io, MODEL_HEAD, found.flatMap(modelRowsOf));
      printTable(context.io, POOL_HEAD, found.map(rowOf));
      for (const { name, problem } of found.flatMap(problemsOf)) note(context.io, `${name}: ${problem}`);
    });
  pools
    .command("status")
    .description("what a pool of this machine says of itself: devices, models, instances, queues, rates")
    .option("--address <url>", `its --metrics-port (default: EDGEPLANE_POOL_ADDRESS, or ${DEFAULT_ADDRESS})`)
    .action(async (options: unknown) => {
      const address = parseOptions(StatusOptionsSchema, options).address ?? context.io.env["EDGEPLANE_POOL_ADDRESS"];
      const answer = await ask(address ?? DEFAULT_ADDRESS);
      if (context.globals().json) return printJson(context.io, answer);
      return showStatus(context.io, parse(answer, address ?? DEFAULT_ADDRESS));
    });
}

/** All pools of the edge, or those that ended. */
export function readPools(context: Context, ended: boolean): Promise<Pool[]> {
  return list(context, PoolSchema, "/pools", { room: "true", ...(ended ? { ended: "true" } : {}) }, 100);
}

/** What is wrong with a pool, with a device of it or with a model on it, in words. */
export function problemsOf({ name, state, is_heard: isHeard, seen_at: seenAt, models, devices }: Pool): {
  name: string;
  problem: string;
}[] {
  const fenced = devices.flatMap(({ problem }) =>
    problem === null || problem === undefined ? [] : [{ name, problem: firstLine(problem) }],
  );
  const sick = models.flatMap(({ model, version, problem, is_wanted: isWanted = true }) =>
    problem === null || problem === undefined || !isWanted
      ? []
      : [{ name, problem: `can't set ${model}:${version.slice(0, 12)} up: ${firstLine(problem)}` }],
  );
  const problems = [...fenced, ...sick];
  if (state === "away") problems.unshift({ name, problem: `its channel is down, since ${ago(seenAt)}` });
  else if (state === "connected" && isHeard === false)
    problems.unshift({ name, problem: "it is connected, and states no room: it hangs, or its host is gone" });
  return problems;
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

const POOL_HEAD = [
  "pool",
  "state",
  "lanes",
  "devices",
  "isolation",
  "models",
  "room",
  "problems",
  "connected",
] as const;

function rowOf(pool: Pool): (string | number)[] {
  const { name, state, lanes, devices, isolation, models, connected_at: connectedAt } = pool;
  const room = Math.max(0, ...models.map((one) => one.room ?? 0));
  return [
    ...[name, state, lanes.join(","), devicesText(devices), isolation ?? "–", models.length, room],
    ...[problemsOf(pool).length, ago(connectedAt)],
  ];
}

/** `2× NVIDIA H200 (140 GB)`; of a host without GPUs, its CPU. */
function devicesText(devices: Pool["devices"]): string {
  const gpus = devices.filter(({ id }) => id !== "cpu");
  const kinds = Map.groupBy(gpus.length > 0 ? gpus : devices, ({ name, memory_bytes: memory }) =>
    memory === null || memory === undefined ? name : `${name} (${bytesText(memory)})`,
  );
  return [...kinds].map(([kind, { length }]) => (length === 1 ? kind : `${length}× ${kind}`)).join(", ");
}

const MODEL_HEAD = ["pool", "model", "version", "room", "starts now", "ready in", "problem"] as const;

function modelRowsOf({ name, models }: Pool): (string | number | null)[][] {
  return models.map(({ model, version, room, starts_now: startsNow, ready_in_ms: readyInMs, problem }) => [
    ...[name, model, version.slice(0, 12), room ?? null, startsNow ?? null],
    readyInMs === null || readyInMs === undefined ? null : readyInMs === 0 ? "now" : `${Math.ceil(readyInMs / 1000)} s`,
    problem === null || problem === undefined ? null : firstLine(problem),
  ]);
}

async function ask(address: string): Promise<unknown> {
  const url = `${address.replace(/\/+$/, "")}/status`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(LOOK_LIMIT_MS) });
    if (!answer.ok) throw new CliError(`${url} answered ${answer.status}`, exitCodes.failed, NO_POOL);
    return await answer.json();
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (error instanceof SyntaxError) throw new CliError(`${url} answered no JSON`, exitCodes.failed, NO_POOL);
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new CliError(`no pool answers at ${url}: ${messageOf(cause)}`, exitCodes.unreachable, NO_POOL);
  }
}

const NO_POOL =
  "A pool's log says its metricsPort when it starts; it answers on its own machine only, unless --metrics-host says more.";

function parse(answer: unknown, address: string): z.output<typeof StatusSchema> {
  const parsed = StatusSchema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const why = z.prettifyError(parsed.error);
  throw new CliError(`${address} answered something else than a pool's status: ${why}`, exitCodes.failed, NO_POOL);
}

/** For `doctor`: what is wrong with the pools. Throws a `CliError` that names them. */
export async function checkPools(context: Context): Promise<string> {
  const found = await readPools(context, false);
  const here = found.filter(({ state }) => state === "connected");
  const problems = found.flatMap(problemsOf);
  if (problems.length > 0)
    throw new CliError(
      problems.map(({ name, problem }) => `${name}: ${problem}`).join("; "),
      exitCodes.failed,
      "`edgeplane pools list --models` has all; on the host, `edgeplane pools status` and the pool's log say more.",
    );
  if (here.length === 0)
    throw new CliError("none is connected", exitCodes.failed, "Is a pool running? Its log says why it can't connect.");
  const models = new Set(here.flatMap((pool) => pool.models.map(({ model }) => model)));
  return `${here.length} connected, with ${models.size} models`;
}
