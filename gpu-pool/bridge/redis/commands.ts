/**
 * What may run through the door. The server itself says what each command is (`COMMAND`): flags and the places of its
 * keys. The connection is shared by all callers, so whatever would change, block or administer it is refused, for every
 * token.
 */
import * as z from "zod";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { RedisToken } from "../settings.ts";
import { startsWith, textOf } from "./arguments.ts";
import type { Argument } from "./arguments.ts";
import { isKnownScript } from "./scripts.ts";

/** Commands that belong to the connection, or to the operator; refused by name whatever the server's flags are. */
const refused: ReadonlySet<string> = new Set([
  ...[
    "ACL",
    "ASKING",
    "AUTH",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "CONFIG",
    "DEBUG",
    "DISCARD",
    "EXEC",
    "FAILOVER",
  ],
  ...[
    "HELLO",
    "LATENCY",
    "MIGRATE",
    "MODULE",
    "MONITOR",
    "MULTI",
    "PSYNC",
    "QUIT",
    "READONLY",
    "READWRITE",
    "REPLCONF",
    "REPLICAOF",
  ],
  ...[
    "RESET",
    "RESTORE-ASKING",
    "ROLE",
    "SAVE",
    "SELECT",
    "SHUTDOWN",
    "SLAVEOF",
    "SLOWLOG",
    "SWAPDB",
    "SYNC",
    "UNWATCH",
    "WAIT",
  ],
  ...["WAITAOF", "WATCH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE"],
  ...["SUNSUBSCRIBE"],
]);
/** Without keys, and harmless: allowed to every token. */
const harmless: ReadonlySet<string> = new Set(["PING", "ECHO", "TIME"]);
const evaluating: ReadonlySet<string> = new Set(["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"]);
const functions: ReadonlySet<string> = new Set(["FUNCTION", "FCALL", "FCALL_RO"]);
/** Of commands that also administer the server, what may run. */
const subcommands: Readonly<Record<string, RegExp>> = {
  SCRIPT: /^(load|exists|flush)$/i,
  FUNCTION: /^(load|list|delete|flush|stats)$/i,
};

const EntrySchema = z
  .tuple([z.string(), z.number(), z.array(z.string()), z.number(), z.number(), z.number()])
  .rest(z.unknown());

type Info = { flags: ReadonlySet<string>; firstKey: number; lastKey: number; step: number };

/** The server's table of commands, from the reply to `COMMAND`. */
export class CommandTable {
  readonly #commands = new Map<string, Info>();

  constructor(reply: unknown) {
    for (const entry of z.array(z.unknown()).parse(reply)) this.#add(entry);
  }

  /** A command's entry, or that of its subcommand where it has some. */
  find(name: string, first: string | undefined): Info | undefined {
    return (
      (first === undefined ? undefined : this.#commands.get(`${name}|${first.toUpperCase()}`)) ??
      this.#commands.get(name)
    );
  }

  #add(entry: unknown): void {
    const parsed = EntrySchema.safeParse(entry);
    if (!parsed.success) return;
    const [name, , flags, firstKey, lastKey, step, , , , subcommands] = parsed.data;
    this.#commands.set(name.toUpperCase(), { flags: new Set(flags), firstKey, lastKey, step });
    if (Array.isArray(subcommands)) for (const subcommand of subcommands) this.#add(subcommand);
  }
}

export type CheckedCommand = { name: string; args: Argument[] };

/** Asks the server which arguments of a command are keys. */
export type GetKeys = (name: string, args: Argument[]) => Promise<Argument[]>;

/**
 * Checks one command for a token and answers it, maybe narrowed (a SCAN gets the token's prefix). Throws an
 * `EdgeplaneError` that says why it may not run.
 */
export async function checkCommand(
  command: readonly Argument[],
  token: RedisToken,
  table: CommandTable,
  getKeys: GetKeys,
): Promise<CheckedCommand> {
  const [first, ...args] = command;
  const name = textOf(first).toUpperCase();
  if (name === "") throw new EdgeplaneError("invalid_request", "ERR empty command");
  const subcommand = textOf(args[0]);
  const info = table.find(name, subcommand);
  const parent = table.find(name, undefined);
  if (info === undefined || parent === undefined)
    throw new EdgeplaneError("invalid_request", `ERR unknown command '${shown(first)}'`);
  if (refused.has(name) || info.flags.has("admin") || subcommands[name]?.test(subcommand) === false) {
    throw new EdgeplaneError(
      "forbidden",
      `NOPERM the command '${shown(first)}' is not offered here: it changes the connection, or administers the server`,
    );
  }
  if (info.flags.has("blocking") && !(name.startsWith("XREAD") && !args.some((arg) => /^block$/i.test(textOf(arg))))) {
    throw new EdgeplaneError(
      "forbidden",
      `NOPERM the command '${shown(first)}' would block: ask again instead, or subscribe`,
    );
  }
  const reads =
    info.flags.has("readonly") || name.endsWith("_RO") || /^FUNCTION (list|stats)$/i.test(`${name} ${subcommand}`);
  if (token.readOnly && !reads && !harmless.has(name)) {
    throw new EdgeplaneError("forbidden", `NOPERM this token may only read; '${shown(first)}' writes`);
  }
  if (token.keyPrefix === "" || harmless.has(name)) return { name, args };
  return withinPrefix(name, args, info, token.keyPrefix, getKeys);
}

async function withinPrefix(
  name: string,
  args: Argument[],
  info: Info,
  prefix: string,
  getKeys: GetKeys,
): Promise<CheckedCommand> {
  if (name === "SCAN") return { name, args: narrowScan(args, prefix) };
  if (name === "KEYS" || name === "PUBLISH" || name === "SPUBLISH") {
    demandPrefix([args[0] ?? ""], prefix, name === "KEYS" ? "pattern" : "channel");
    return { name, args };
  }
  if (name === "SCRIPT" && !/^flush$/i.test(textOf(args[0]))) return { name, args };
  if (functions.has(name)) {
    throw new EdgeplaneError(
      "forbidden",
      `NOPERM a token with a key prefix may not run '${name}': the code of a function could reach any key. Use a token without a prefix`,
    );
  }
  if (evaluating.has(name)) {
    checkEval(name, args, prefix);
    return { name, args };
  }
  if ((name === "SORT" || name === "SORT_RO") && args.some((arg) => /^(by|get)$/i.test(textOf(arg)))) {
    throw new EdgeplaneError(
      "forbidden",
      "NOPERM a token with a key prefix may not SORT with BY or GET: they read other keys",
    );
  }
  const keys = info.flags.has("movablekeys") || info.firstKey === 0 ? await getKeys(name, args) : keysOf(args, info);
  if (keys.length === 0)
    throw new EdgeplaneError("forbidden", `NOPERM a token with a key prefix may not run '${name}': it names no key`);
  demandPrefix(keys, prefix, "key");
  return { name, args };
}

/** A script reaches keys that it does not declare, so only scripts that are known not to may run within a prefix. */
function checkEval(name: string, args: Argument[], prefix: string): void {
  if (!isKnownScript(name.startsWith("EVALSHA") ? { sha: args[0] ?? "" } : { script: args[0] ?? "" })) {
    throw new EdgeplaneError(
      "forbidden",
      "NOPERM a token with a key prefix may only run the scripts of @upstash/ratelimit: others could reach any key",
    );
  }
  const count = Number(textOf(args[1]));
  const keys = Number.isInteger(count) && count > 0 ? args.slice(2, 2 + count) : [];
  demandPrefix(
    keys.filter((key) => key.length > 0),
    prefix,
    "key",
  );
}

/** Of several patterns the server obeys the last: each must keep to the prefix. */
function narrowScan(args: Argument[], prefix: string): Argument[] {
  const patterns = args.flatMap((arg, index) => (/^match$/i.test(textOf(arg)) ? [args[index + 1] ?? ""] : []));
  if (patterns.length === 0) return [...args, "MATCH", `${prefix}*`];
  demandPrefix(patterns, prefix, "pattern");
  return args;
}

function keysOf(args: Argument[], { firstKey, lastKey, step }: Info): Argument[] {
  const last = lastKey < 0 ? args.length + lastKey + 1 : lastKey;
  const keys: Argument[] = [];
  for (let position = firstKey; position <= last; position += Math.max(1, step)) {
    const key = args[position - 1];
    if (key !== undefined) keys.push(key);
  }
  return keys;
}

function demandPrefix(names: readonly Argument[], prefix: string, what: string): void {
  const outside = names.find((name) => !startsWith(name, prefix));
  if (outside === undefined) return;
  throw new EdgeplaneError("forbidden", `NOPERM this token may only use ${what}s that begin with '${prefix}'`);
}

function shown(name: Argument | undefined): string {
  return textOf(name).slice(0, 64);
}
