/** `edgeplane aliases`, `promote` and `rollback`: names of a model that move from version to version, and back. */
import type { Command } from "commander";
import * as z from "zod";
import { parseModelName, parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { ago, note, printJson, printLine, printTable } from "../output.ts";

const AliasSchema = z.looseObject({
  alias: z.string(),
  version: z.string(),
  moved_at: z.string(),
  history: z.array(z.looseObject({ version: z.string(), since: z.string(), undone_at: z.string().nullable() })),
});
type Alias = z.infer<typeof AliasSchema>;
const AliasesSchema = z.object({ results: z.array(AliasSchema) });

const AliasOptionSchema = z.object({ alias: z.string().default("latest") });
const ALIAS_FLAGS = "--alias <name>";
const ALIAS_HELP = "another name than `latest`";

export function addAliases(program: Command, context: Context): void {
  const aliases = program.command("aliases").description("names that you move from version to version");
  aliases
    .command("list <model>")
    .description("`latest`, and your own")
    .action(async (model: string) => {
      const { results } = await context.client().api(AliasesSchema, "GET", `${pathOf(model)}/aliases`);
      if (context.globals().json) return printJson(context.io, results);
      const rows = results.map((one) => [one.alias, one.version, ago(one.moved_at)]);
      return printTable(context.io, ["alias", "version", "moved"], rows);
    });
  aliases
    .command("show <model> <alias>")
    .description("what it points to, and has pointed to")
    .action(async (model: string, alias: string) => {
      const found = await context.client().api(AliasSchema, "GET", aliasPath(model, alias));
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.history.map((one) => [
        one.version,
        ago(one.since),
        one.undone_at === null ? "" : `rolled back ${ago(one.undone_at)}`,
      ]);
      printLine(context.io, `${alias} ${found.version}`);
      return printTable(context.io, ["version", "since", ""], rows);
    });
  aliases
    .command("set <model> <alias> <version>")
    .description("point it to a version: its 64 hexadecimal digits, or another alias")
    .action(async (model: string, alias: string, version: string) => move(context, model, alias, version));
  aliases
    .command("delete <model> <alias>")
    .description("take the name away; its version stays")
    .action(async (model: string, alias: string) => {
      await context.client().api(z.unknown(), "DELETE", aliasPath(model, alias));
      note(context.io, `${model}:${alias} is deleted`);
    });
  program
    .command("promote <model> <version>")
    .description("make a version a model's latest: its 64 hexadecimal digits, or an alias")
    .option(ALIAS_FLAGS, ALIAS_HELP)
    .action(async (model: string, version: string, options: unknown) =>
      move(context, model, parseOptions(AliasOptionSchema, options).alias, version),
    );
  program
    .command("rollback <model>")
    .description("make the version before a model's latest again; once more goes further back")
    .option(ALIAS_FLAGS, ALIAS_HELP)
    .action(async (model: string, options: unknown) => {
      const { alias } = parseOptions(AliasOptionSchema, options);
      const path = `${aliasPath(model, alias)}/rollback`;
      show(context, model, await context.client().api(AliasSchema, "POST", path));
    });
}

async function move(context: Context, model: string, alias: string, version: string): Promise<void> {
  const body = { version };
  show(context, model, await context.client().api(AliasSchema, "PUT", aliasPath(model, alias), { body }));
}

function show(context: Context, model: string, alias: Alias): void {
  if (context.globals().json) return printJson(context.io, alias);
  printLine(context.io, `${model}:${alias.alias} is ${alias.version}`);
  note(context.io, "requests get it everywhere within 10 seconds");
  const before = alias.history.find(({ version, undone_at: undone }) => undone === null && version !== alias.version);
  if (before === undefined) return undefined;
  const named = alias.alias === "latest" ? "" : ` --alias ${alias.alias}`;
  return note(context.io, `before: ${before.version}; to go back: edgeplane rollback ${model}${named}`);
}

function aliasPath(model: string, alias: string): string {
  return `${pathOf(model)}/aliases/${segment(alias)}`;
}

function pathOf(model: string): string {
  const { owner, name, version } = parseModelName(model);
  if (version !== null) throw new CliError("name the model alone: owner/name", exitCodes.usage);
  return `/models/${owner}/${name}`;
}
