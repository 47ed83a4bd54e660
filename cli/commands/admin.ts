/** `edgeplane accounts`, `keys` and `pool-tokens`: the operator's calls. They print a secret once, when it is made. */
import type { Command } from "commander";
import * as z from "zod";
import { parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { ago, note, printJson, printLine, printTable } from "../output.ts";

const PAGE = 1000;
const MAX_LISTED = 100 * PAGE;
const AccountSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  retention_s: z.number(),
  weight: z.number(),
  created_at: z.string(),
});
const CredentialSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  hint: z.string(),
  created_at: z.string(),
  revoked_at: z.string().nullable(),
});
const KeySchema = CredentialSchema.extend({
  scopes: z.array(z.string()),
  priority: z.string(),
  expires_at: z.string().nullable(),
  key: z.string().optional(),
});
const TokenSchema = CredentialSchema.extend({
  lanes: z.array(z.string()),
  owners: z.array(z.string()),
  token: z.string().optional(),
});
const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
const ListSchema = z.string().transform(listOf);

/** Every page of a list of the operator's. */
export async function list<T extends z.ZodType>(
  context: Context,
  schema: T,
  path: string,
  query: Record<string, string | undefined> = {},
  limit = PAGE,
): Promise<z.output<T>[]> {
  const Page = z.object({ results: z.array(schema), next_cursor: z.string().nullish() });
  const found: z.output<T>[] = [];
  let cursor: string | undefined;
  do {
    const page: z.output<typeof Page> = await context
      .client()
      .admin(Page, "GET", path, { query: { ...query, limit, cursor } });
    found.push(...page.results);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined && found.length < MAX_LISTED);
  return found;
}

export function addAdmin(program: Command, context: Context): void {
  addAccounts(program, context);
  addKeys(program, context);
  addPoolTokens(program, context);
}

const AccountOptionsSchema = z.object({
  retention: z.coerce.number().int().optional(),
  weight: z.coerce.number().positive().optional(),
});

function addAccounts(program: Command, context: Context): void {
  const accounts = program.command("accounts").description("list, make and change accounts (the operator's key)");
  accounts
    .command("list")
    .description("all accounts")
    .action(async () => {
      const found = await list(context, AccountSchema, "/accounts");
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.map((one) => [
        one.name,
        one.id,
        one.type,
        one.weight,
        `${one.retention_s} s`,
        ago(one.created_at),
      ]);
      return printTable(context.io, ["account", "id", "type", "weight", "retention", "created"], rows);
    });
  accounts
    .command("create <name>")
    .description("make an account")
    .action(async (name: string) =>
      show(context, await context.client().admin(AccountSchema, "POST", "/accounts", { body: { name } }), "id"),
    );
  accounts
    .command("update <account>")
    .description("change what holds for it from now on")
    .option("--retention <seconds>", "how long its data is kept: 60 to 2592000")
    .option("--weight <number>", "its share of the GPUs: 0.01 to 1000")
    .action(async (account: string, options: unknown) => {
      const { retention, weight } = parseOptions(AccountOptionsSchema, options);
      const body = {
        ...(retention === undefined ? {} : { retention_s: retention }),
        ...(weight === undefined ? {} : { weight }),
      };
      show(
        context,
        await context.client().admin(AccountSchema, "PATCH", `/accounts/${segment(account)}`, { body }),
        "name",
      );
    });
}

const KeyOptionsSchema = z.object({
  account: z.string(),
  scopes: ListSchema.optional(),
  priority: z.enum(["high", "normal", "low"]).optional(),
  models: ListSchema.optional(),
  expires: z.string().optional(),
});

function addKeys(program: Command, context: Context): void {
  const keys = program.command("keys").description("list, make, rotate and revoke API keys (the operator's key)");
  keys
    .command("list <account>")
    .description("the keys of an account")
    .option("--revoked", "those that were revoked")
    .action(async (account: string, options: { revoked?: boolean }) => {
      const found = await list(context, KeySchema, "/keys", {
        account,
        revoked: options.revoked === true ? "true" : undefined,
      });
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.map((one) => [
        one.name,
        one.id,
        `…${one.hint}`,
        one.priority,
        one.scopes.join(","),
        ago(one.created_at),
        one.expires_at,
      ]);
      return printTable(context.io, ["key", "id", "ends in", "priority", "scopes", "created", "expires"], rows);
    });
  keys
    .command("create <name>")
    .description("make a key; it is printed once")
    .requiredOption("--account <account>", "whose it is")
    .option("--scopes <list>", "by commas (default: all)")
    .option("--priority <priority>", "the highest that it may ask for (default: normal)")
    .option("--models <list>", "those that it may run, such as acme/*; by commas (default: all)")
    .option("--expires <time>", "refused from then on, such as 2030-01-01T00:00:00Z (default: never)")
    .action(async (name: string, options: unknown) => {
      const { account, scopes, priority, models, expires } = parseOptions(KeyOptionsSchema, options);
      const body = {
        account,
        name,
        ...(scopes === undefined ? {} : { scopes }),
        ...(priority === undefined ? {} : { priority }),
        ...(models === undefined ? {} : { models }),
        ...(expires === undefined ? {} : { expires_at: expires }),
      };
      show(context, await context.client().admin(KeySchema, "POST", "/keys", { body }), "key");
    });
  keys
    .command("rotate <id>")
    .description("make a key that may the same; the old one works on for a while")
    .option("--overlap <seconds>", "for how long (default: 86400)")
    .action(async (id: string, options: unknown) => {
      const { overlap } = parseOptions(z.object({ overlap: z.coerce.number().int().min(0).optional() }), options);
      const body = overlap === undefined ? {} : { overlap_s: overlap };
      show(context, await context.client().admin(KeySchema, "POST", `/keys/${segment(id)}/rotate`, { body }), "key");
    });
  addRevoke(keys, context, "keys", "a key");
}

const TokenOptionsSchema = z.object({
  lanes: ListSchema.default(["default"]),
  owners: ListSchema.default(["local"]),
  registers: z.boolean().default(true),
  storesEnvironments: z.boolean().default(false),
});

function addPoolTokens(program: Command, context: Context): void {
  const tokens = program
    .command("pool-tokens")
    .description("list, make and revoke the tokens of GPU hosts (the operator's key)");
  tokens
    .command("list")
    .description("all tokens")
    .option("--revoked", "those that were revoked")
    .action(async (options: { revoked?: boolean }) => {
      const found = await list(context, TokenSchema, "/pool-tokens", {
        revoked: options.revoked === true ? "true" : undefined,
      });
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.map((one) => [
        one.name,
        one.id,
        `…${one.hint}`,
        one.lanes.join(","),
        one.owners.join(","),
        ago(one.created_at),
      ]);
      return printTable(context.io, ["token", "id", "ends in", "lanes", "owners", "created"], rows);
    });
  tokens
    .command("create <name>")
    .description("make a token; it is printed once")
    .option("--lanes <list>", "that it serves, by commas (default: default)")
    .option("--owners <list>", "whose models it may register, by commas (default: local)")
    .option("--no-registers", "it registers no models")
    .option("--stores-environments", "other pools run environments that this host built: only for one that you trust")
    .action(async (name: string, options: unknown) => {
      const { lanes, owners, registers, storesEnvironments } = parseOptions(TokenOptionsSchema, options);
      const rights = {
        may_register_models: registers,
        ...(storesEnvironments ? { may_store_environments: true } : {}),
      };
      const body = { name, lanes, owners, ...rights };
      show(context, await context.client().admin(TokenSchema, "POST", "/pool-tokens", { body }), "token");
    });
  addRevoke(tokens, context, "pool-tokens", "a token");
}

function addRevoke(command: Command, context: Context, path: string, what: string): void {
  command
    .command("revoke <id>")
    .description(`${what} stops working within 10 seconds`)
    .action(async (id: string) => {
      await context.client().admin(z.unknown(), "DELETE", `/${path}/${segment(id)}`);
      note(context.io, `${id} is revoked`);
    });
}

/** All of it as JSON, or the one thing that scripts want. */
function show(context: Context, value: Record<string, unknown>, wanted: string): void {
  if (context.globals().json) printJson(context.io, value);
  else printLine(context.io, String(value[wanted]));
}
