/** What every command is made from: its streams, and the gateway that the flags, the environment or a profile name. */
import type { Command } from "commander";
import * as z from "zod";
import { createClient } from "./client.ts";
import type { Client } from "./client.ts";
import { resolveConnection } from "./config.ts";
import type { Connection } from "./config.ts";
import { CliError, exitCodes } from "./errors.ts";
import type { Io } from "./io.ts";

const GlobalSchema = z.object({
  url: z.string().optional(),
  key: z.string().optional(),
  adminKey: z.string().optional(),
  profile: z.string().optional(),
  json: z.boolean().default(false),
});
export type Globals = z.infer<typeof GlobalSchema>;

export type Context = { io: Io; globals(): Globals; connection(): Connection; client(): Client };

export function createContext(io: Io, program: Command): Context {
  const globals = (): Globals => GlobalSchema.parse(program.opts());
  const connection = (): Connection => resolveConnection(io, globals());
  return { io, globals, connection, client: () => createClient(connection()) };
}

/** The options of a command, checked; names in messages are the flags'. */
export function parseOptions<T>(schema: z.ZodType<T>, options: unknown): T {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const flag = String(issue?.path[0] ?? "").replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new CliError(`--${flag}: ${issue?.message}`, exitCodes.usage);
}

const NamePattern = /^([a-z0-9][a-z0-9._-]*)\/([a-z0-9][a-z0-9._-]*)(?::([a-z0-9][a-z0-9._-]*))?$/;
/** `version`: a version's 64 hexadecimal digits, or an alias. */
export type ModelName = { owner: string; name: string; version: string | null };

/** `owner/name`, `owner/name:version` or `owner/name:alias`. */
export function parseModelName(text: string): ModelName {
  const [, owner, name, version = null] = NamePattern.exec(text) ?? [];
  if (owner === undefined || name === undefined)
    throw new CliError(
      `"${text}" names no model`,
      exitCodes.usage,
      "Say owner/name, owner/name:version with its 64 hexadecimal digits, or owner/name:alias.",
    );
  return { owner, name, version };
}

/** A part of a path, from what a user typed. */
export const segment = encodeURIComponent;
