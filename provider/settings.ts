/** The service's settings: flags, with twins in the environment, checked once at start. A flag wins over its twin. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";

const flags = {
  url: { env: "EDGEPLANE_URL", help: "the edge's address, such as https://edge.example.com (required)" },
  token: {
    env: "EDGEPLANE_PROVIDER_TOKEN",
    help: "the service's token (required; better in a file, or in the environment, than in the arguments)",
  },
  "token-file": { env: "EDGEPLANE_PROVIDER_TOKEN_FILE", help: "a file that holds the token, in place of --token" },
  config: { env: "EDGEPLANE_PROVIDERS", help: "the file of providers, in JSON (default ./providers.json)" },
  "state-dir": {
    env: "EDGEPLANE_STATE_DIR",
    help: "where the machines of a local provider lie (default ~/.edgeplane/provider)",
  },
  "log-level": { env: "EDGEPLANE_LOG_LEVEL", help: "fatal, error, warn, info, debug or silent (default info)" },
} as const;
type Name = keyof typeof flags;

const SettingsSchema = z.object({
  url: z.url({ protocol: /^https?$/, error: "it must be an http(s) address" }).transform((text) => new URL(text)),
  token: z.string().regex(/^[\x21-\x7e]+$/, "it must be a token without spaces and line ends"),
  config: z
    .string()
    .default("providers.json")
    .transform((path) => resolve(path)),
  "state-dir": z
    .string()
    .default(join(homedir(), ".edgeplane", "provider"))
    .transform((path) => resolve(path)),
  "log-level": z.enum(["fatal", "error", "warn", "info", "debug", "silent"]).default("info"),
});
export type Settings = z.infer<typeof SettingsSchema>;

/** A setting is missing or wrong; the message names it and says how to mend it. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

export function helpText(): string {
  const names = Object.keys(flags) as Name[];
  const lines = names.map((name) => `  --${name.padEnd(12)} ${flags[name].env.padEnd(30)} ${flags[name].help}`);
  return `edgeplane-provider: rents and returns the machines that an Edgeplane gateway asks for.

${lines.join("\n")}

The file of providers is told in docs/providers.md. SIGTERM ends the service; machines stay, and it finds them again.
Exit codes: 0 ended, 1 broken, 2 wrong settings, or refused by the edge.
`;
}

/** Reads flags and environment; null asks for the help text. Throws `SettingsError`. */
export function readSettings(args: string[], env: Record<string, string | undefined>): Settings | null {
  const given = readFlags(args);
  if (given["help"] === true) return null;
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const value = given[name] ?? env[flag.env];
    if (typeof value === "string" && value !== "") values[name] = value;
  }
  readTokenFile(values);
  const parsed = SettingsSchema.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const name = Object.keys(flags).find((flag): flag is Name => flag === issue?.path[0]) ?? "url";
  const problem = values[name] === undefined ? "is missing" : `is wrong: ${issue?.message}`;
  throw new SettingsError(`--${name} (or ${flags[name].env}) ${problem}: ${flags[name].help}. --help lists all.`);
}

function readFlags(args: string[]): Record<string, string | boolean | undefined> {
  const strings = Object.fromEntries(Object.keys(flags).map((name) => [name, { type: "string" as const }]));
  try {
    return parseArgs({ args, options: { ...strings, help: { type: "boolean", short: "h" } } }).values;
  } catch (error) {
    throw new SettingsError(`${error instanceof Error ? error.message : String(error)} --help lists all settings.`);
  }
}

function readTokenFile(values: Record<string, unknown>): void {
  const file = values["token-file"];
  delete values["token-file"];
  if (typeof file !== "string") return;
  if (values["token"] !== undefined)
    throw new SettingsError(`--token and --token-file (or their variables) are both set: keep one of them.`);
  try {
    values["token"] = readFileSync(file, "utf8").trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError(`--token-file ${file} can't be read: ${why}`);
  }
}
