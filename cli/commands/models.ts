/** `edgeplane models`, `versions` and `deployments`. */
import type { Command } from "commander";
import * as z from "zod";
import { parseModelName, parseOptions } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { readJson } from "../inputs.ts";
import { ago, note, printJson, printLine, printTable } from "../output.ts";
import { StateSchema } from "../push/life.ts";
import { sizeOf } from "../push/report.ts";

const VersionSchema = z.looseObject({
  id: z.string(),
  created_at: z.string(),
  schema_known: z.boolean(),
  lane: z.string(),
  max_batch_size: z.number(),
  streams: z.string(),
  /** An edge of the release before has no states. */
  edgeplane: StateSchema.optional(),
});
type Version = z.infer<typeof VersionSchema>;
const ConfiguredSchema = z.object({ configuration: z.record(z.string(), z.unknown()).nullable() });
const ModelSchema = z.looseObject({
  owner: z.string(),
  name: z.string(),
  description: z.string(),
  visibility: z.string(),
  run_count: z.number(),
  latest_version: VersionSchema.nullable(),
});
const pageOf = <T extends z.ZodType>(schema: T) => z.object({ results: z.array(schema), next: z.string().nullable() });

const MAX_PAGES = 100;

export function addModels(program: Command, context: Context): void {
  const models = program.command("models").description("list, show, make and delete models");
  models
    .command("list [query]")
    .description("the models that you may run; with a query, those that mention it")
    .action(async (query: string | undefined) => {
      const found = await all(context, ModelSchema, "/models", query);
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.map((one) => [
        `${one.owner}/${one.name}`,
        one.visibility,
        one.latest_version?.id.slice(0, 12),
        one.run_count,
        one.description,
      ]);
      return printTable(context.io, ["model", "visibility", "version", "runs", "description"], rows);
    });
  models
    .command("show <model>")
    .description("what is known of one, with its input and output")
    .action(async (model: string) => {
      const { owner, name } = parseModelName(model);
      printJson(context.io, await context.client().api(ModelSchema, "GET", `/models/${owner}/${name}`));
    });
  models
    .command("create <model>")
    .description("make a model that pools then offer versions of")
    .option("--public", "everybody may run it (default: only you)")
    .option("--hardware <name>", "what it wishes to run on (default: cpu)")
    .option("--description <text>", "what it does")
    .action(async (model: string, options: unknown) => create(context, model, options));
  models
    .command("configure <model> <json>")
    .description("say how it runs in place of what its files say: a JSON object, @file, - for standard input, or null")
    .action(async (model: string, json: string) => {
      const { owner, name } = parseModelName(model);
      const configuration = json === "null" ? null : await readJson(context.io, json, "the configuration");
      const body = { configuration };
      printJson(
        context.io,
        (await context.client().api(ConfiguredSchema, "PATCH", `/models/${owner}/${name}`, { body })).configuration,
      );
    });
  models
    .command("delete <model>")
    .description("delete a private model without versions")
    .action(async (model: string) => {
      const { owner, name } = parseModelName(model);
      await context.client().api(z.unknown(), "DELETE", `/models/${owner}/${name}`);
      note(context.io, `${model} is deleted`);
    });
  addVersions(program, context);
}

const CreateOptionsSchema = z.object({
  public: z.boolean().default(false),
  hardware: z.string().default("cpu"),
  description: z.string().optional(),
});

async function create(context: Context, model: string, options: unknown): Promise<void> {
  const { owner, name } = parseModelName(model);
  const { public: isPublic, hardware, description } = parseOptions(CreateOptionsSchema, options);
  const body = {
    owner,
    name,
    hardware,
    visibility: isPublic ? "public" : "private",
    ...(description === undefined ? {} : { description }),
  };
  const made = await context.client().api(ModelSchema, "POST", "/models", { body });
  if (context.globals().json) printJson(context.io, made);
  else printLine(context.io, `${made.owner}/${made.name} (${made.visibility})`);
}

const DeleteOptionsSchema = z.object({ force: z.boolean().default(false) });

function addVersions(program: Command, context: Context): void {
  const versions = program.command("versions").description("list, show and delete the versions of a model");
  versions
    .command("list <model>")
    .description("the newest first")
    .action(async (model: string) => {
      const { owner, name } = parseModelName(model);
      const found = await all(context, VersionSchema, `/models/${owner}/${name}/versions`);
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.map((one) => [
        one.id,
        one.edgeplane?.status,
        ago(one.created_at),
        one.lane,
        one.max_batch_size,
        one.streams,
        one.schema_known,
      ]);
      return printTable(context.io, ["version", "status", "created", "lane", "batch", "streams", "schema"], rows);
    });
  versions
    .command("show <model>")
    .description("how owner/name:version stands: its status, what went wrong, and a pool's log of it")
    .action(async (model: string) => {
      const found = await context.client().api(VersionSchema, "GET", versionPath(model));
      if (context.globals().json) printJson(context.io, found);
      else showVersion(context, found);
    });
  versions
    .command("delete <model>")
    .description("delete a version of a private model: owner/name:version")
    .option("--force", "although `latest`, an alias or a deployment points to it")
    .action(async (model: string, options: unknown) => {
      const query = parseOptions(DeleteOptionsSchema, options);
      await context.client().api(z.unknown(), "DELETE", versionPath(model), { query });
      note(context.io, `${model} is deleted`);
    });
}

function versionPath(model: string): string {
  const { owner, name, version } = parseModelName(model);
  if (version === null) throw new CliError("name the version: owner/name:version", exitCodes.usage);
  return `/models/${owner}/${name}/versions/${version}`;
}

/** The log comes last, as the pool wrote it. */
function showVersion(
  { io }: Context,
  { id, created_at: createdAt, lane, schema_known: isKnown, edgeplane }: Version,
): void {
  const { status, stage, problem, log, bundle, plugins = [], plugin_problem: pluginProblem } = edgeplane ?? {};
  const lines: [string, string | null | undefined][] = [
    ["version", id],
    ["status", status],
    ["created", `${createdAt} (${ago(createdAt)})`],
    ["lane", lane],
    ["schema", isKnown ? "known" : "not known yet"],
    ["files", bundle ? `${bundle.files}, ${sizeOf(bundle.bytes)}` : "pools have it as a folder"],
    ["plugins", plugins.map(({ name, phases }) => `${name} (${phases.join(", ")})`).join(", ")],
    ["plugins failed", pluginProblem],
    ["failed in", stage],
    ["problem", problem],
  ];
  for (const [name, value] of lines) if (value) printLine(io, `${name.padEnd(10)} ${value}`);
  if (log) printLine(io, `log\n${log.trimEnd()}`);
}

/** Every page of a list. */
export async function all<T extends z.ZodType>(
  context: Context,
  schema: T,
  path: string,
  query?: string,
): Promise<z.output<T>[]> {
  const client = context.client();
  const Page = pageOf(schema);
  let page = await client.api(Page, "GET", path, { query: { query } });
  const found = [...page.results];
  for (let pages = 1; page.next !== null && pages < MAX_PAGES; pages += 1) {
    page = await client.page(Page, page.next);
    found.push(...page.results);
  }
  return found;
}
