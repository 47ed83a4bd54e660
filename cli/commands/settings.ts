/** `edgeplane settings` and `plugins`: what the gateway does with a request, and the plugins that do it. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import * as z from "zod";
import { PluginCommandError, readCases, readPlugin } from "../../scripts/lib/plugin-command/folder.ts";
import { initPlugin } from "../../scripts/lib/plugin-command/init.ts";
import { pushPlugin } from "../../scripts/lib/plugin-command/push.ts";
import { testPlugin } from "../../scripts/lib/plugin-command/test.ts";
import { parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes, messageOf } from "../errors.ts";
import { readStdin } from "../io.ts";
import type { Io } from "../io.ts";
import { ago, note, printJson, printLine, printTable } from "../output.ts";

/** A gateway of the release before tells no `ignored`, and no `carried`. */
const NumberedSchema = z.looseObject({
  number: z.number(),
  settings: z.unknown(),
  ignored: z.array(z.string()).default([]),
});
const ChangesSchema = z.array(z.object({ path: z.string(), from: z.unknown(), to: z.unknown() }));
const PublishedSchema = z.object({
  number: z.number().nullable(),
  order: z.record(z.string(), z.array(z.string())),
  changes: ChangesSchema,
  carried: z.array(z.string()).default([]),
  warnings: z.array(z.string()).default([]),
});
const HistorySchema = z.object({
  results: z.array(
    z.object({
      number: z.number(),
      published_at: z.string().nullable(),
      by: z.string().nullable(),
      why: z.string().nullable(),
      restores: z.number().nullable(),
    }),
  ),
});
const PublishOptionsSchema = z.object({
  why: z.string(),
  by: z.string().optional(),
  ifNumber: z.coerce.number().int().optional(),
  dryRun: z.boolean().default(false),
});
/** Of what is ignored, so much is named. */
const NAMED = 5;
const NumberSchema = z.coerce.number("a whole number").int().min(0);

/** A number that a user typed. */
function numberOf(text: string): number {
  const parsed = NumberSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new CliError(`"${text}" is no number of settings`, exitCodes.usage);
}

export function addSettings(program: Command, context: Context): void {
  const settings = program
    .command("settings")
    .description("read, publish and roll back what plugins do (the operator's key)");
  settings
    .command("show [number]")
    .description("the settings that hold, or those of a number")
    .action(async (number: string | undefined) => {
      const path = number === undefined ? "/settings" : `/settings/numbers/${numberOf(number)}`;
      const found = await context.client().admin(NumberedSchema, "GET", path);
      printJson(context.io, context.globals().json ? found : found.settings);
      if (found.ignored.length > 0)
        note(context.io, `a later release stored these, which this one ignores: ${found.ignored.join(", ")}`);
    });
  withReason(
    settings.command("publish <file>").description("check and publish settings: a JSON file, or - for standard input"),
  ).action(async (file: string, options: unknown) => {
    const draft = await readDraft(context.io, file);
    return publish(context, "/settings", { settings: draft }, options);
  });
  withReason(
    settings.command("rollback <number>").description("publish the settings of an earlier number again"),
  ).action(async (number: string, options: unknown) =>
    publish(context, "/settings/rollback", { number: numberOf(number) }, options),
  );
  settings
    .command("history")
    .description("what was published, by whom and why")
    .action(async () => {
      const { results } = await context.client().admin(HistorySchema, "GET", "/settings/history");
      if (context.globals().json) return printJson(context.io, results);
      const rows = results.map((one) => [one.number, ago(one.published_at), one.by, one.why, one.restores]);
      return printTable(context.io, ["number", "published", "by", "why", "restores"], rows);
    });
  settings
    .command("diff <from> [to]")
    .description("what differs between two numbers; without the second, from what holds")
    .action(async (from: string, to: string | undefined) => {
      const query = { from: numberOf(from), to: to === undefined ? undefined : numberOf(to) };
      const { changes } = await context
        .client()
        .admin(z.object({ changes: ChangesSchema }), "GET", "/settings/diff", { query });
      if (context.globals().json) printJson(context.io, changes);
      else printChanges(context.io, changes);
    });
  settings
    .command("simulate <file>")
    .description("what each phase would do with a request: a JSON file as POST /admin/v1/settings/simulate takes it")
    .action(async (file: string) => {
      const body = await readDraft(context.io, file);
      printJson(context.io, await context.client().admin(z.unknown(), "POST", "/settings/simulate", { body }));
    });
  addPlugins(program, context);
}

function withReason(command: Command): Command {
  return command
    .requiredOption("--why <text>", "for the list of what was published")
    .option("--by <name>", "who you are (default: operator)")
    .option("--if-number <n>", "refused unless this number holds now")
    .option("--dry-run", "check everything, publish nothing");
}

async function publish(context: Context, path: string, what: Record<string, unknown>, options: unknown): Promise<void> {
  const { why, by, ifNumber, dryRun } = parseOptions(PublishOptionsSchema, options);
  const body = {
    ...what,
    why,
    dry_run: dryRun,
    ...(by === undefined ? {} : { by }),
    ...(ifNumber === undefined ? {} : { expected_number: ifNumber }),
  };
  const published = await context.client().admin(PublishedSchema, "POST", path, { body });
  if (context.globals().json) return printJson(context.io, published);
  for (const [phase, names] of Object.entries(published.order))
    if (names.length > 0) note(context.io, `${phase}: ${names.join(", ")}`);
  printChanges(context.io, published.changes);
  if (published.carried.length > 0)
    note(context.io, `stays stored for a later release: ${published.carried.join(", ")}`);
  for (const warning of published.warnings) note(context.io, `warning: ${warning}`);
  return note(
    context.io,
    published.number === null
      ? "good; nothing was published"
      : `published as number ${published.number}; it holds everywhere within 5 seconds`,
  );
}

function printChanges(io: Io, changes: z.infer<typeof ChangesSchema>): void {
  if (changes.length === 0) note(io, "nothing differs");
  for (const { path, from, to } of changes) printLine(io, `${path}: ${JSON.stringify(from)} → ${JSON.stringify(to)}`);
}

async function readDraft(io: Io, file: string): Promise<unknown> {
  try {
    return JSON.parse(file === "-" ? await readStdin(io) : readFileSync(resolve(io.cwd, file), "utf8")) as unknown;
  } catch (error) {
    throw new CliError(`${file === "-" ? "standard input" : file} can't be used: ${messageOf(error)}`, exitCodes.usage);
  }
}

const UploadsSchema = z.object({
  results: z.array(z.looseObject({ name: z.string(), version: z.string(), bytes: z.number(), created_at: z.string() })),
});

/** For `doctor`. Throws `CliError`: the gateway acts as if some of what is stored weren't there. */
export async function checkSettings(context: Context): Promise<string> {
  const { number, ignored } = await context.client().admin(NumberedSchema, "GET", "/settings");
  if (ignored.length === 0) return `number ${number}`;
  const some =
    ignored.slice(0, NAMED).join(", ") + (ignored.length > NAMED ? `, and ${ignored.length - NAMED} more` : "");
  throw new CliError(
    `number ${number} has what this release doesn't know, and ignores: ${some}`,
    exitCodes.failed,
    "Deploy the release that published it, or go back to a number without it: `edgeplane settings rollback <number>`.",
  );
}

function addPlugins(program: Command, context: Context): void {
  const plugins = program.command("plugins").description("write, test and upload plugins of your own");
  plugins
    .command("list")
    .description("the versions that were uploaded (the operator's key)")
    .action(async () => {
      const { results } = await context.client().admin(UploadsSchema, "GET", "/plugins");
      if (context.globals().json) return printJson(context.io, results);
      const rows = results.map((one) => [one.name, one.version, one.bytes, ago(one.created_at)]);
      return printTable(context.io, ["plugin", "version", "bytes", "uploaded"], rows);
    });
  plugins
    .command("init <folder>")
    .description("write a plugin that works: plugin.json, plugin.ts, cases.json")
    .action((folder: string) => {
      for (const file of asCliErrors(() => initPlugin(resolve(context.io.cwd, folder))))
        note(context.io, `wrote ${file}`);
    });
  plugins
    .command("test <folder>")
    .description("load it as the gateway would, and run its cases")
    .action(async (folder: string) => {
      const place = resolve(context.io.cwd, folder);
      const cases = asCliErrors(() => readCases(place));
      const failed = await testPlugin(await readPlugin(place), cases, ({ name, problem, ms }) =>
        printLine(context.io, problem === null ? `ok   ${name} (${ms.toFixed(1)} ms)` : `FAIL ${name}: ${problem}`),
      );
      if (failed > 0) throw new CliError(`${failed} of ${cases.length} failed`);
    });
  plugins
    .command("push <folder>")
    .description("upload it as a version; settings switch it on (the operator's key)")
    .action(async (folder: string) => {
      const { url, adminKey } = context.connection();
      if (adminKey === undefined)
        throw new CliError("this needs the operator's key", exitCodes.forbidden, "Set EDGEPLANE_ADMIN_KEY.");
      const plugin = await readPlugin(resolve(context.io.cwd, folder));
      const { version, isNew } = await pushPlugin({ url, adminKey }, plugin);
      note(context.io, isNew ? "uploaded" : "it was there already");
      printLine(context.io, version);
    });
  plugins
    .command("delete <version>")
    .description("remove a version that no settings use (the operator's key)")
    .action(async (version: string) => {
      await context.client().admin(z.unknown(), "DELETE", `/plugins/${segment(version)}`);
      note(context.io, `${version} is removed`);
    });
}

function asCliErrors<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PluginCommandError) throw new CliError(error.message);
    throw error;
  }
}
