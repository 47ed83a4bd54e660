/** `edgeplane login`, `logout` and `whoami`: which gateway commands talk to, and as whom. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import type { Command } from "commander";
import * as z from "zod";
import { createClient } from "../client.ts";
import { configFile, readConfig, UrlSchema, writeConfig } from "../config.ts";
import type { Profile } from "../config.ts";
import { parseOptions } from "../context.ts";
import type { Context, Globals } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { readStdin } from "../io.ts";
import type { Io } from "../io.ts";
import { note, printJson, printLine } from "../output.ts";

export const AccountSchema = z.object({ username: z.string(), type: z.string() });
const AccountsSchema = z.object({ results: z.array(z.unknown()) });
const NameSchema = z.object({ name: z.string().min(1).max(64).default("default") });

export function addLogin(program: Command, context: Context): void {
  program
    .command("login")
    .description("keep a gateway's address and key for later commands")
    .option("--name <profile>", "the profile to write (default: default)")
    .addHelpText(
      "after",
      "\nTakes --url and --key (and --admin-key, for operators); asks for the first two, or reads the key from standard input.",
    )
    .action(async (options: unknown) => login(context, parseOptions(NameSchema, options).name));
  program
    .command("logout")
    .description("forget a profile")
    .option("--name <profile>", "which one (default: the one in use)")
    .action((options: { name?: string }) => logout(context.io, options.name));
  program
    .command("whoami")
    .description("the gateway and the account that commands use")
    .action(async () => whoami(context));
}

async function login(context: Context, name: string): Promise<void> {
  const { io } = context;
  const profile = await askProfile(io, context.globals());
  const client = createClient({ ...profile, source: "the flags" });
  if (profile.key === undefined) await client.admin(AccountsSchema, "GET", "/accounts", { query: { limit: 1 } });
  else {
    const { username } = await client.api(AccountSchema, "GET", "/account");
    note(io, `${profile.url} knows you as ${username}`);
    if (profile.adminKey !== undefined) await client.admin(AccountsSchema, "GET", "/accounts", { query: { limit: 1 } });
  }
  const config = readConfig(io);
  writeConfig(io, { current: name, profiles: { ...config.profiles, [name]: profile } });
  note(io, `kept as profile "${name}" in ${configFile(io)}`);
}

async function askProfile(io: Io, { url, key, adminKey }: Globals): Promise<Profile> {
  const isAsking = io.stdin.isTTY === true;
  const address = url ?? (isAsking ? await ask(io, "Address of the gateway: ") : undefined);
  if (address === undefined) throw new CliError("--url is missing", exitCodes.usage);
  const secret =
    key ??
    (adminKey === undefined ? (isAsking ? await ask(io, "API key: ", true) : (await readStdin(io)).trim()) : undefined);
  if (secret === "") throw new CliError("there is no key: give --key, or write it to standard input", exitCodes.usage);
  const parsed = UrlSchema.safeParse(address);
  if (!parsed.success) throw new CliError(`"${address}" is no address of a gateway`, exitCodes.usage);
  return {
    url: parsed.data,
    ...(secret === undefined ? {} : { key: secret }),
    ...(adminKey === undefined ? {} : { adminKey }),
  };
}

/** What is typed for a secret is not shown. */
async function ask(io: Io, question: string, isSecret = false): Promise<string> {
  const nowhere = new Writable({ write: (_text, _encoding, done) => done() });
  const shown = isSecret ? { output: nowhere, terminal: true } : { output: io.stderr };
  const lines = createInterface({ input: io.stdin, ...shown });
  try {
    const typed = lines.question(isSecret ? "" : question);
    if (isSecret) io.stderr.write(question);
    return (await typed).trim();
  } finally {
    lines.close();
    if (isSecret) io.stderr.write("\n");
  }
}

function logout(io: Io, wanted: string | undefined): void {
  const { current, profiles } = readConfig(io);
  const name = wanted ?? current;
  if (profiles[name] === undefined) throw new CliError(`there is no profile "${name}"`, exitCodes.usage);
  const rest = Object.fromEntries(Object.entries(profiles).filter(([other]) => other !== name));
  writeConfig(io, { current: name === current ? (Object.keys(rest)[0] ?? "default") : current, profiles: rest });
  note(io, `profile "${name}" is forgotten`);
}

async function whoami(context: Context): Promise<void> {
  const { url, source } = context.connection();
  const { username, type } = await context.client().api(AccountSchema, "GET", "/account");
  if (context.globals().json) printJson(context.io, { url, account: username, type, source });
  else printLine(context.io, `${username} (${type}) at ${url}, by ${source}`);
}
