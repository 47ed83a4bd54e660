/** `edgeplane canary`: a version that some predictions of a name get, until it is promoted, or returns. */
import type { Command } from "commander";
import * as z from "zod";
import { parseModelName, parseOptions } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { ago, note, printJson, printLine, printTable } from "../output.ts";

const CountsSchema = z.looseObject({ ended: z.number(), failed: z.number(), unstarted: z.number() });
const CanarySchema = z.looseObject({
  version: z.string(),
  base: z.string(),
  percent: z.number(),
  sticky_by: z.string(),
  steps: z.array(z.looseObject({ percent: z.number(), bake_s: z.number() })),
  step: z.number().nullable(),
  started_at: z.string(),
  numbers: z.object({ base: CountsSchema, canary: CountsSchema }),
  ended_at: z.string().nullable(),
  outcome: z.string().nullable(),
  reason: z.string().nullable(),
});
type Canary = z.infer<typeof CanarySchema>;
const HolderSchema = z.looseObject({ canary: CanarySchema.nullable() });

/** `5@600`: a percentage, and for how many seconds at least. */
const STEP = /^(\d+(?:\.\d+)?)@(\d+)$/;
const StartOptionsSchema = z.object({
  deployment: z.boolean().default(false),
  percent: z.coerce.number().optional(),
  steps: z.string().optional(),
  stickyBy: z.string().optional(),
});
const DeploymentOptionSchema = StartOptionsSchema.pick({ deployment: true });
const DEPLOYMENT = "--deployment";
const DEPLOYMENT_HELP = "the name is a deployment's (owner/name), not a model's";

export function addCanary(program: Command, context: Context): void {
  const canary = program
    .command("canary")
    .description("try a version on some predictions; it returns if it fails more");
  canary
    .command("start <name> <version>")
    .description("give some predictions of owner/name, or owner/name:alias, another version")
    .option("--percent <n>", "how many of them")
    .option("--steps <list>", "percentages one after the other, each for some seconds at least: 5@600,25@600,100@600")
    .option("--sticky-by <what>", "request, account, or header:NAME (default: request)")
    .option(DEPLOYMENT, DEPLOYMENT_HELP)
    .action(async (name: string, version: string, options: unknown) => start(context, name, version, options));
  canary
    .command("status <name>")
    .description("how it does, or how the last one ended")
    .option(DEPLOYMENT, DEPLOYMENT_HELP)
    .action(async (name: string, options: unknown) => {
      const holder = holderOf(name, options);
      const { canary: found } = await context.client().api(HolderSchema, "GET", holder.path);
      show(context, name, found);
    });
  canary
    .command("promote <name>")
    .description("point the name to the version that is tried")
    .option(DEPLOYMENT, DEPLOYMENT_HELP)
    .action(async (name: string, options: unknown) => {
      const { path, method } = holderOf(name, options);
      const { version } = await running(context, name, path);
      show(context, name, (await context.client().api(HolderSchema, method, path, { body: { version } })).canary);
    });
  canary
    .command("abort <name>")
    .description("give all predictions the name's own version again")
    .option(DEPLOYMENT, DEPLOYMENT_HELP)
    .action(async (name: string, options: unknown) => {
      const { path, method } = holderOf(name, options);
      await running(context, name, path);
      show(context, name, (await context.client().api(HolderSchema, method, path, { body: { canary: null } })).canary);
    });
}

async function start(context: Context, name: string, version: string, options: unknown): Promise<void> {
  const { percent, steps, stickyBy } = parseOptions(StartOptionsSchema, options);
  const { path, method } = holderOf(name, options);
  const canary = {
    version,
    ...(percent === undefined ? {} : { percent }),
    ...(steps === undefined ? {} : { steps: steps.split(",").map(parseStep) }),
    ...(stickyBy === undefined ? {} : { sticky_by: stickyBy }),
  };
  show(context, name, (await context.client().api(HolderSchema, method, path, { body: { canary } })).canary);
}

function parseStep(text: string): { percent: number; bake_s: number } {
  const [, percent, seconds] = STEP.exec(text.trim()) ?? [];
  if (percent === undefined || seconds === undefined)
    throw new CliError(`--steps: "${text}" is no step`, exitCodes.usage, "Say a percentage and seconds: 5@600.");
  return { percent: Number(percent), bake_s: Number(seconds) };
}

async function running(context: Context, name: string, path: string): Promise<Canary> {
  const { canary } = await context.client().api(HolderSchema, "GET", path);
  if (canary !== null && canary.outcome === null) return canary;
  throw new CliError(`${name} has no canary that runs`, exitCodes.notFound);
}

/** Where the canary's name is read, and by which method it is changed. */
function holderOf(name: string, options: unknown): { path: string; method: "PUT" | "PATCH" } {
  const { deployment } = parseOptions(DeploymentOptionSchema, options);
  const { owner, name: model, version: alias } = parseModelName(name);
  if (!deployment) return { path: `/models/${owner}/${model}/aliases/${alias ?? "latest"}`, method: "PUT" };
  if (alias !== null) throw new CliError("name the deployment alone: owner/name", exitCodes.usage);
  return { path: `/deployments/${owner}/${model}`, method: "PATCH" };
}

function show(context: Context, name: string, canary: Canary | null): void {
  if (context.globals().json) return printJson(context.io, canary);
  if (canary === null) return note(context.io, `${name} has had no canary`);
  const { version, base, percent, numbers, outcome, reason, steps, step } = canary;
  const at = step === null ? "" : `, step ${step + 1} of ${steps.length}`;
  const state = outcome ?? `running, started ${ago(canary.started_at)}`;
  printLine(context.io, `${name}: ${percent} % to ${version.slice(0, 12)}${at}: ${state}`);
  const row = (id: string, arm: Canary["numbers"]["base"]) => [id, arm.ended, arm.failed, arm.unstarted];
  printTable(
    context.io,
    ["version", "ended", "failed", "unstarted"],
    [row(version, numbers.canary), row(base, numbers.base)],
  );
  if (reason !== null) note(context.io, reason);
}
