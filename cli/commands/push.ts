/** `edgeplane push`: a model's folder becomes a version that can be called. */
import { existsSync, realpathSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import * as z from "zod";
import {
  BundleSchema,
  bundleVersion,
  canonicalJson,
  MAX_BUNDLE_JSON_BYTES,
  type Bundle,
} from "../../src/contract/bundle.ts";
import { Refusal } from "../client.ts";
import type { Client } from "../client.ts";
import { parseModelName, parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { note, printLine } from "../output.ts";
import { describe as describeByPool } from "../push/describe.ts";
import type { Described, DescribeOptions, Whole } from "../push/describe.ts";
import { exampleInput } from "../push/example-input.ts";
import { checkAllUnchanged, listFolder } from "../push/folder.ts";
import type { PushedFile } from "../push/folder.ts";
import { HashCache } from "../push/hashes.ts";
import { readIgnored } from "../push/ignored.ts";
import { PushedVersionSchema, untilLive } from "../push/life.ts";
import type { ShownPlugin } from "../push/life.ts";
import { withPlugins } from "../push/plugins.ts";
import { createReport, sizeOf } from "../push/report.ts";
import type { Report } from "../push/report.ts";
import { sendFiles } from "../push/send.ts";
import { AccountSchema } from "./login.ts";

/** Where pools note what a model wrote (gpu-pool/runtime/models/folder-record.ts). */
const NOTES = ".edgeplane";
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** A chunk may be swept while others are sent; then it is sent once more. */
const REGISTER_TRIES = 3;

const OptionsSchema = z.object({
  model: z.string().optional(),
  latest: z.boolean().default(true),
  wait: z.boolean().default(true),
  schema: z.boolean().default(true),
  alias: z.string().optional(),
});
type Options = z.infer<typeof OptionsSchema>;
type Describe = (dir: string, options: DescribeOptions) => Promise<Described>;

/** `describe`: how a folder's manifest is had. */
export function addPush(program: Command, context: Context, describe: Describe = describeByPool): void {
  program
    .command("push [folder]")
    .description("make a version of a model folder, and wait until it can be called")
    .option("--model <owner/name>", "which model (default: your account and the folder's name); made if there is none")
    .option("--no-latest", "leave the model's latest version as it is")
    .option("--alias <name>", "point this alias to it once it is live")
    .option("--no-schema", "leave it to a pool to read the model's inputs and outputs: nothing is installed here")
    .option("--no-wait", "leave once it is registered")
    .addHelpText(
      "after",
      `
.cogignore (as .gitignore) and .dockerignore say what stays here. Only what the gateway lacks is sent, so that a second
push sends what has changed, and one that was cut off goes on where it was. docs/push.md tells more.

  edgeplane push my-model`,
    )
    .action(async (folder: string | undefined, options: unknown) =>
      push(context, resolve(context.io.cwd, folder ?? "."), parseOptions(OptionsSchema, options), describe),
    );
}

async function push(context: Context, folder: string, options: Options, describe: Describe): Promise<void> {
  const { io } = context;
  if (!existsSync(join(folder, "cog.yaml")))
    throw new CliError(
      `${folder} has no cog.yaml`,
      exitCodes.usage,
      "`edgeplane init <folder>` writes a model that runs.",
    );
  const dir = realpathSync(folder);
  const report = createReport(io, context.globals().json);
  const stop = new AbortController();
  let isInterrupted = false;
  const forget = io.onInterrupt(() => {
    isInterrupted = true;
    stop.abort();
  });
  try {
    await pushFolder(context, dir, options, describe, report, stop.signal);
  } catch (error) {
    // Whatever of it still goes on.
    stop.abort();
    if (!isInterrupted) throw error;
    throw new CliError("interrupted", exitCodes.interrupted, "Run it again: what has arrived is not sent again.");
  } finally {
    report.clear();
    forget();
  }
}

async function pushFolder(
  context: Context,
  dir: string,
  options: Options,
  describe: Describe,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const client = context.client();
  const push: Push = { context, client, dir, model: "", latest: options.latest, report, signal };
  const said = (line: string): void => report.say(`reading the model: ${line}`);
  const describing = describe(dir, { withSchema: options.schema, env: context.io.env, signal, say: said });
  // A key that is refused ends the push before this is awaited.
  describing.catch(() => {});
  const model = await modelOf(client, options.model, dir);
  push.model = model;
  // Where no pool has noted anything, nobody has to be asked what the model wrote.
  const written = existsSync(join(dir, NOTES)) ? (await describing).written : [];
  const { files, names, done } = await withPlugins(dir, listFolder(dir, readIgnored(dir), new Set(written)));
  try {
    await pushFiles(push, options, describing, { files, plugins: names });
  } finally {
    done();
  }
}

type Listed = { files: readonly PushedFile[]; plugins: readonly string[] };

async function pushFiles(
  push: Push,
  options: Options,
  describing: Promise<Described>,
  { files, plugins }: Listed,
): Promise<void> {
  const { context, client, model, report, signal } = push;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const brings = plugins.length === 0 ? "" : `, with the plugins ${plugins.join(", ")}`;
  report.tell(
    { event: "listed", files: files.length, bytes, plugins },
    `${files.length} files, ${sizeOf(bytes)}${brings}`,
  );
  const registered = await register(push, files, describing);
  const { version, isNew } = registered;
  const reference = `${model}:${version}`;
  report.tell({ event: "registered", model, version, is_new: isNew }, isNew ? "registered" : "it was there already");
  if (plugins.length > 0) tellPlugins(report, client, registered.plugins);
  if (options.wait) await untilLive(client, model, version, report, signal);
  if (options.alias !== undefined) {
    const path = `/models/${model}/aliases/${segment(options.alias)}`;
    await client.api(z.unknown(), "PUT", path, { body: { version }, repeatable: true });
  }
  const path = options.latest ? model : `${model}/versions/${version}`;
  const endpoint = `${client.url}/v1/models/${path}/predictions`;
  const status = options.wait ? "live" : registered.status;
  if (context.globals().json) return report.tell({ event: status, model, version, endpoint }, "");
  printLine(context.io, reference);
  if (status !== "live")
    return note(context.io, `${status}: \`edgeplane versions show ${reference}\` says how it stands`);
  const { manifest } = await (await describing).whole;
  return showCall(context, endpoint, options.latest ? model : reference, exampleInput(manifest.schema));
}

/** Asks as whom: a wrong address or key is found before anything is read. */
async function modelOf(client: Client, wanted: string | undefined, dir: string): Promise<string> {
  const { username } = await client.api(AccountSchema, "GET", "/account");
  if (wanted === undefined) {
    const name = basename(dir);
    if (NAME.test(name)) return `${username}/${name}`;
    throw new CliError(`"${name}" can't be a model's name`, exitCodes.usage, "Say --model owner/name.");
  }
  const { owner, name, version } = parseModelName(wanted);
  if (version !== null)
    throw new CliError("--model: say owner/name; the version follows from the files", exitCodes.usage);
  if (owner === username) return `${owner}/${name}`;
  throw new CliError(
    `the key is ${username}'s, and can't push a model of ${owner}`,
    exitCodes.forbidden,
    `Say --model ${username}/${name}, or use a key of ${owner}.`,
  );
}

async function manifestOf(describing: Promise<Described>, report: Report): Promise<Whole["manifest"]> {
  report.say("reading the model …");
  const { manifest, schemaProblem } = await (await describing).whole;
  if (schemaProblem !== null)
    report.tell(
      { event: "schema_unknown", problem: schemaProblem },
      `its schema can't be read here, so the first pool that sets it up does: ${schemaProblem}`,
    );
  return manifest;
}

/** What the steps of a push have in common. */
type Push = {
  context: Context;
  client: Client;
  dir: string;
  /** `owner/name`. */
  model: string;
  latest: boolean;
  report: Report;
  signal: AbortSignal;
};
type Registered = {
  version: string;
  isNew: boolean;
  status: "pending" | "live" | "failed";
  /** Null: the gateway knows of no plugins. */
  plugins: readonly ShownPlugin[] | null;
};

/**
 * Sends what is missing and registers the version; what was swept meanwhile is sent again. The model is read while its
 * files are on their way.
 */
async function register(push: Push, files: readonly PushedFile[], describing: Promise<Described>): Promise<Registered> {
  const { client, model, latest, report, signal } = push;
  for (let attempt = 1; ; attempt += 1) {
    // A folder that is no model ends it at once.
    const [bundle] = await Promise.all([send(push, files), describing]);
    const manifest = await manifestOf(describing, report);
    checkAllUnchanged(files);
    const version = await bundleVersion(bundle);
    try {
      const before = await knownStatus(client, model, version, signal);
      const made = await client.api(PushedVersionSchema, "POST", `/models/${model}/versions`, {
        body: { bundle, manifest, latest },
        repeatable: true,
        signal,
      });
      const { status, plugins = null } = made.edgeplane;
      return { version: made.id, isNew: before === null, status, plugins };
    } catch (error) {
      const isSwept = error instanceof Refusal && error.code === "bundle_incomplete";
      if (!isSwept || attempt === REGISTER_TRIES) throw error;
      report.tell({ event: "incomplete" }, "the gateway lacks some of it again; sending that");
    }
  }
}

/** Throws for a gateway that registered the files and runs none of the plugins among them. */
function tellPlugins(report: Report, client: Client, plugins: Registered["plugins"]): void {
  if (plugins === null)
    throw new CliError(
      `the gateway at ${client.url} is older than this command: it registered the version, and doesn't run its plugins`,
      exitCodes.failed,
      "Upgrade it (docs/deploy.md) and push again.",
    );
  const shown = plugins.map(({ name, phases }) => `${name} (${phases.join(", ")})`);
  report.tell({ event: "plugins", plugins }, `its plugins run in this order: ${shown.join(", ")}`);
}

/** Null where there is no such version. */
async function knownStatus(
  client: Client,
  model: string,
  version: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const found = await client.api(PushedVersionSchema, "GET", `/models/${model}/versions/${version}`, { signal });
    return found.edgeplane.status;
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return null;
    throw error;
  }
}

async function send(push: Push, files: readonly PushedFile[]): Promise<Bundle> {
  const { context, client, dir, model, report, signal } = push;
  const cache = new HashCache(context.io, dir);
  let present = 0;
  report.begin(files.reduce((sum, { bytes }) => sum + bytes, 0));
  let isWhole = false;
  try {
    const rows = await sendFiles(files, {
      client,
      connection: context.connection(),
      model,
      cache,
      signal,
      onHashed: report.hashed,
      onPresent: (bytes) => (present += bytes),
      onMissing: report.missing,
      onSent: report.sent,
      onRetry: (why) => report.tell({ event: "retry", problem: why }, `trying again: ${why}`),
    });
    isWhole = true;
    const sent = report.end();
    report.tell({ event: "sent", bytes: sent, present }, `${sizeOf(sent)} sent, ${sizeOf(present)} were there`);
    return checked({ format: 1, files: rows });
  } finally {
    cache.save(isWhole);
  }
}

function checked(bundle: Bundle): Bundle {
  const parsed = BundleSchema.safeParse(bundle);
  const [issue] = parsed.error?.issues ?? [];
  if (issue !== undefined)
    throw new CliError(
      `the folder can't be pushed: ${issue.message}`,
      exitCodes.usage,
      "Rename it, or name it in .cogignore.",
    );
  if (Buffer.byteLength(canonicalJson(bundle)) <= MAX_BUNDLE_JSON_BYTES) return bundle;
  throw new CliError(
    `the list of the folder's files alone has more than ${sizeOf(MAX_BUNDLE_JSON_BYTES)}`,
    exitCodes.usage,
    "Put many small files into one archive, or name what the model doesn't need in .cogignore.",
  );
}

function showCall({ io }: Context, endpoint: string, model: string, input: Record<string, unknown>): void {
  const given = Object.entries(input).map(
    ([name, value]) => ` -i ${quoted(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`,
  );
  const lines = [
    `live at ${endpoint}`,
    "",
    `  curl -s ${endpoint} \\`,
    '    -H "Authorization: Bearer $EDGEPLANE_API_KEY" -H "Content-Type: application/json" -H "Prefer: wait" \\',
    `    -d ${quoted(JSON.stringify({ input }))}`,
    "",
    `  edgeplane predict ${model}${given.join("")}`,
  ];
  for (const line of lines) note(io, line);
}

/** For a shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
