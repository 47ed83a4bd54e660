/**
 * Which gateway, and with which keys. In this order: the flags; the environment (`EDGEPLANE_URL`, `EDGEPLANE_API_KEY`,
 * `EDGEPLANE_ADMIN_KEY`); the profile that `edgeplane login` wrote; the local stack that runs from this folder, or one
 * above it (`.edgeplane/dev.json`). A key goes only to the address that it came with. Of the log over HTTP the local
 * stack knows its own user; others are named by `EDGEPLANE_KAFKA_USERNAME`, `EDGEPLANE_KAFKA_PASSWORD` and, where it is
 * not the gateway's own, `EDGEPLANE_KAFKA_URL`.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { CliError, exitCodes, messageOf } from "./errors.ts";
import type { Io } from "./io.ts";

export const UrlSchema = z
  .url({ protocol: /^https?$/, error: "an address such as https://edge.example.com" })
  .transform((url) => url.replace(/\/+$/, ""));
const KeySchema = z.string().min(1);

const ProfileSchema = z.object({ url: UrlSchema, key: KeySchema.optional(), adminKey: KeySchema.optional() });
export type Profile = z.infer<typeof ProfileSchema>;
const ConfigSchema = z.object({ current: z.string(), profiles: z.record(z.string(), ProfileSchema) });
type Config = z.infer<typeof ConfigSchema>;
const KafkaSchema = z.object({ url: UrlSchema, username: z.string(), password: z.string() });
export type KafkaAccess = z.infer<typeof KafkaSchema>;
const DevSchema = z.object({ url: UrlSchema, apiKey: KeySchema, adminKey: KeySchema, kafka: KafkaSchema.optional() });

export type Flags = {
  url?: string | undefined;
  key?: string | undefined;
  adminKey?: string | undefined;
  profile?: string | undefined;
};
export type Connection = Profile & {
  /** Where it was found, for messages. */
  source: string;
  /** The local stack's own. */
  kafka?: KafkaAccess | undefined;
};

/** `$XDG_CONFIG_HOME/edgeplane/config.json`, in `~/.config` without it. */
export function configFile(io: Io): string {
  const base = io.env["XDG_CONFIG_HOME"] ?? join(io.env["HOME"] ?? homedir(), ".config");
  return join(base, "edgeplane", "config.json");
}

export function readConfig(io: Io): Config {
  const file = configFile(io);
  const text = readIfThere(file);
  if (text === null) return { current: "default", profiles: {} };
  return parse(ConfigSchema, text, file);
}

/** Only its owner may read the file: it holds keys. */
export function writeConfig(io: Io, config: Config): void {
  const file = configFile(io);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

/** Where commands go. Throws a `CliError` that says how to name a gateway. */
export function resolveConnection(io: Io, flags: Flags): Connection {
  const url = flags.url ?? io.env["EDGEPLANE_URL"];
  const key = flags.key ?? io.env["EDGEPLANE_API_KEY"];
  const adminKey = flags.adminKey ?? io.env["EDGEPLANE_ADMIN_KEY"];
  const kept = keptConnection(io, flags.profile, url === undefined ? null : checkUrl(url));
  if (url === undefined && kept === null)
    throw new CliError(
      "no gateway is named",
      exitCodes.usage,
      "Run `edgeplane login`, set EDGEPLANE_URL, or start a local one with `npm start`.",
    );
  const found: Connection = kept ?? {
    url: checkUrl(url ?? ""),
    source: flags.url === undefined ? "EDGEPLANE_URL" : "--url",
  };
  return { ...found, ...(key === undefined ? {} : { key }), ...(adminKey === undefined ? {} : { adminKey }) };
}

/** The log over HTTP of that gateway, or the one that the environment names. */
export function resolveKafka(io: Io, { url, kafka }: Connection): KafkaAccess {
  const username = io.env["EDGEPLANE_KAFKA_USERNAME"];
  const password = io.env["EDGEPLANE_KAFKA_PASSWORD"];
  const named = io.env["EDGEPLANE_KAFKA_URL"];
  if (username !== undefined && password !== undefined)
    return { url: named === undefined ? `${url}/kafka` : checkUrl(named), username, password };
  if (kafka !== undefined && (named === undefined || named === kafka.url)) return kafka;
  throw new CliError(
    "no user of the log is named",
    exitCodes.forbidden,
    "Set EDGEPLANE_KAFKA_USERNAME and EDGEPLANE_KAFKA_PASSWORD: a user of KAFKA_USERS, or of your bridge (then EDGEPLANE_KAFKA_URL, too).",
  );
}

/** The profile, or the local stack; of one address only, where that is named. */
function keptConnection(io: Io, name: string | undefined, url: string | null): Connection | null {
  const config = readConfig(io);
  const profile = config.profiles[name ?? config.current];
  if (name !== undefined && profile === undefined)
    throw new CliError(
      `there is no profile "${name}"`,
      exitCodes.usage,
      `${configFile(io)} has: ${Object.keys(config.profiles).join(", ") || "none"}.`,
    );
  const matches = (found: Profile): boolean => url === null || found.url === url;
  if (profile !== undefined && matches(profile)) return { ...profile, source: configFile(io) };
  const dev = name === undefined ? findDev(io.cwd) : null;
  return dev !== null && matches(dev) ? dev : null;
}

/** The stack that `npm start` runs in this folder or one above it. */
function findDev(folder: string): Connection | null {
  const file = join(folder, ".edgeplane", "dev.json");
  const text = readIfThere(file);
  if (text !== null) {
    const { url, apiKey, adminKey, kafka } = parse(DevSchema, text, file);
    return { url, key: apiKey, adminKey, source: file, kafka };
  }
  const above = dirname(folder);
  return above === folder ? null : findDev(above);
}

function checkUrl(text: string): string {
  const parsed = UrlSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new CliError(
    `"${text}" is no address of a gateway`,
    exitCodes.usage,
    "Give one such as https://edge.example.com.",
  );
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return null;
    throw new CliError(`${file} can't be read: ${messageOf(error)}`, exitCodes.usage);
  }
}

function parse<T>(schema: z.ZodType<T>, text: string, file: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error);
    throw new CliError(`${file} is not what it should be: ${why}`, exitCodes.usage, "Mend or delete it.");
  }
}
