/** `edgeplane deployments`: your own names for versions; `promote` moves one on. */
import type { Command } from "commander";
import * as z from "zod";
import { parseModelName, parseOptions } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { readJson } from "../inputs.ts";
import { note, printJson, printLine, printTable } from "../output.ts";
import { all } from "./models.ts";

const DeploymentSchema = z.looseObject({
  owner: z.string(),
  name: z.string(),
  current_release: z.looseObject({
    number: z.number(),
    model: z.string(),
    version: z.string(),
    configuration: z.looseObject({ hardware: z.string(), min_instances: z.number(), max_instances: z.number() }),
    /** A gateway of the release before doesn't say. */
    edgeplane: z.looseObject({ configuration: z.record(z.string(), z.unknown()).nullable() }).optional(),
  }),
});
type Deployment = z.infer<typeof DeploymentSchema>;
const VersionSchema = z.object({ latest_version: z.object({ id: z.string() }).nullable() });

const CreateOptionsSchema = z.object({
  hardware: z.string().default("cpu"),
  minInstances: z.coerce.number().int().min(0).default(0),
  maxInstances: z.coerce.number().int().min(0).default(1),
});

export function addDeployments(program: Command, context: Context): void {
  const deployments = program.command("deployments").description("your own names for versions of models");
  deployments
    .command("list")
    .description("all of the account")
    .action(async () => {
      const found = await all(context, DeploymentSchema, "/deployments");
      if (context.globals().json) return printJson(context.io, found);
      return printTable(context.io, ["deployment", "release", "model", "version", "hardware"], found.map(rowOf));
    });
  deployments
    .command("create <name> <model>")
    .description("name a version: owner/name:version, or owner/name for its latest")
    .option("--hardware <name>", "what it wishes to run on (default: cpu)")
    .option("--min-instances <n>", "kept ready (default: 0)")
    .option("--max-instances <n>", "at most (default: 1)")
    .action(async (name: string, model: string, options: unknown) => {
      const { hardware, minInstances, maxInstances } = parseOptions(CreateOptionsSchema, options);
      const version = await versionOf(context, model);
      const [path] = model.split(":");
      const body = { name, model: path, version, hardware, min_instances: minInstances, max_instances: maxInstances };
      show(context, await context.client().api(DeploymentSchema, "POST", "/deployments", { body }));
    });
  deployments
    .command("promote <deployment> [version]")
    .description("move a deployment (owner/name) to a version, by default the model's latest")
    .action(async (deployment: string, version: string | undefined) => promote(context, deployment, version));
  deployments
    .command("configure <deployment> <json>")
    .description(
      "say how what it accepts runs, before the model's files and row: a JSON object, @file, - for standard input, or null",
    )
    .action(async (deployment: string, json: string) => configure(context, deployment, json));
  deployments
    .command("delete <deployment>")
    .description("take the name away; what it accepted runs on")
    .action(async (deployment: string) => {
      const { owner, name } = parseModelName(deployment);
      await context.client().api(z.unknown(), "DELETE", `/deployments/${owner}/${name}`);
      note(context.io, `${deployment} is deleted`);
    });
}

async function promote(context: Context, deployment: string, wanted: string | undefined): Promise<void> {
  const { owner, name } = parseModelName(deployment);
  const path = `/deployments/${owner}/${name}`;
  const client = context.client();
  const { current_release: now } = await client.api(DeploymentSchema, "GET", path);
  const version = wanted ?? (await versionOf(context, now.model));
  if (version === now.version) return note(context.io, `${deployment} is at ${version} already`);
  const moved = await client.api(DeploymentSchema, "PATCH", path, { body: { version } });
  note(context.io, `before: ${now.version}; to go back: edgeplane deployments promote ${deployment} ${now.version}`);
  return show(context, moved);
}

async function configure(context: Context, deployment: string, json: string): Promise<void> {
  const { owner, name } = parseModelName(deployment);
  const configuration = json === "null" ? null : await readJson(context.io, json, "the configuration");
  const path = `/deployments/${owner}/${name}`;
  const { current_release: release } = await context.client().api(DeploymentSchema, "PATCH", path, {
    body: { configuration },
  });
  printJson(context.io, release.edgeplane?.configuration ?? null);
}

async function versionOf(context: Context, model: string): Promise<string> {
  const { owner, name, version } = parseModelName(model);
  if (version !== null) return version;
  const { latest_version: latest } = await context.client().api(VersionSchema, "GET", `/models/${owner}/${name}`);
  if (latest === null)
    throw new CliError(
      `${model} has no version yet`,
      exitCodes.notFound,
      "A pool that offers it, or a push, makes one.",
    );
  return latest.id;
}

function rowOf({ owner, name, current_release: release }: Deployment): (string | number)[] {
  return [
    `${owner}/${name}`,
    release.number,
    release.model,
    release.version.slice(0, 12),
    release.configuration.hardware,
  ];
}

function show(context: Context, deployment: Deployment): void {
  if (context.globals().json) return printJson(context.io, deployment);
  const { owner, name, current_release: release } = deployment;
  return printLine(context.io, `${owner}/${name} release ${release.number}: ${release.model}:${release.version}`);
}
