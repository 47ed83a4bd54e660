/**
 * The pool's settings: flags, with twins in the environment (`--ahead-batches` is EDGEPLANE_AHEAD_BATCHES), checked
 * once at start. A flag wins over its twin. Each default stands here and nowhere else.
 */
import { readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import { LaneNameSchema } from "../src/contract/job.ts";
import { DEFAULT_KV_PREFIX } from "../src/contract/parked.ts";
import { cloudNames } from "./preemption/clouds.ts";
import { flags } from "./flags.ts";
import { isolationSettings } from "./runtime/isolation/types.ts";

const Ms = z.coerce
  .number()
  .int()
  .min(0)
  .max(2 ** 31 - 1);
/** What fits into a header. */
const Token = z.string().regex(/^[\x21-\x7e]+$/, "a token without spaces, line ends and letters beyond ASCII");
const Switch = z.union([
  z.boolean(),
  z.enum(["", "0", "1", "false", "true"]).transform((text) => text === "1" || text === "true"),
]);

/** Names or paths by commas. */
const ListSchema = z.string().transform((text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== ""),
);

const Bytes = z.coerce.number().int().positive();

const GIBIBYTE = 1024 ** 3;
const MOST_INPUTS_BYTES = 16 * GIBIBYTE;

const FlagsSchema = z.object({
  url: z.url({ protocol: /^https?$/, error: "an http(s) address" }).transform((text) => new URL(text)),
  token: Token,
  models: z
    .string()
    .default("examples")
    .transform((path) => resolve(path)),
  enable: ListSchema.prefault(""),
  name: z.string().min(1).max(128).optional(),
  "state-dir": z
    .string()
    .default(join(homedir(), ".edgeplane", "pool"))
    .transform((path) => resolve(path)),
  "environments-dir": z
    .string()
    .transform((path) => resolve(path))
    .optional(),
  "environments-bytes": z.coerce
    .number()
    .int()
    .min(0)
    .default(50 * 1024 ** 3),
  "bundles-dir": z
    .string()
    .transform((path) => resolve(path))
    .optional(),
  "stored-environments": Switch.default(true),
  "bundles-bytes": z.coerce
    .number()
    .int()
    .min(0)
    .default(200 * 1024 ** 3),
  "log-url": z
    .url({ protocol: /^https?$/, error: "an http(s) address" })
    .transform((text) => new URL(text))
    .optional(),
  "log-username": z.string().min(1).default("pool"),
  "log-password": z.string().min(1).optional(),
  "kafka-settings": z.string().optional(),
  delivery: z.enum(["http", "kv"]).default("http"),
  "kv-url": z
    .url({ protocol: /^https?$/, error: "an http(s) address" })
    .transform((text) => new URL(text))
    .optional(),
  "kv-token": Token.optional(),
  "kv-prefix": z.string().min(1).max(200).default(DEFAULT_KV_PREFIX),
  warm: Switch.default(false),
  "ahead-batches": z.coerce.number().int().min(1).max(1000).default(32),
  "setup-timeout-ms": Ms.min(1000).default(600_000),
  "cancel-grace-ms": Ms.default(5000),
  "silence-ms": Ms.min(2000).default(10_000),
  "health-every-ms": Ms.min(100).default(10_000),
  "idle-stop-ms": Ms.default(600_000),
  "drain-timeout-ms": Ms.default(60_000),
  preemption: z.enum(["auto", "off", ...cloudNames]).default("auto"),
  "metadata-url": z
    .url({ protocol: /^http$/, error: "an http address" })
    .default("http://169.254.169.254")
    .transform((text) => new URL(text)),
  "drain-file": z
    .string()
    .transform((path) => resolve(path))
    .optional(),
  "max-input-bytes": Bytes.default(GIBIBYTE),
  "max-inputs-bytes": Bytes.default(4 * GIBIBYTE),
  "max-pool-input-bytes": Bytes.optional(),
  "max-upload-backlog-bytes": Bytes.default(8 * GIBIBYTE),
  "min-free-disk-bytes": z.coerce
    .number()
    .int()
    .nonnegative()
    .default(GIBIBYTE / 2),
  "allow-loopback-inputs": Switch.default(false),
  "allow-build-run": Switch.default(false),
  "allow-system-packages": Switch.default(false),
  /** The files that secrets were read from. */
  "secret-files": z.array(z.string()).optional(),
  isolation: z.enum(isolationSettings).default("auto"),
  readable: ListSchema.prefault("").transform((paths) => paths.map((path) => resolve(path))),
  "trusted-owners": ListSchema.prefault("local"),
  "device-check": z.string().min(1).default("auto"),
  "metrics-port": z.coerce.number().int().min(0).max(65_535).default(9464),
  "metrics-host": z.string().default("127.0.0.1"),
  "log-level": z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  "log-model-output": Switch.default(false),
});

/** A prediction that is alone must get what one prediction may have. */
const SettingsSchema = FlagsSchema.transform((values, context) => {
  const one = values["max-inputs-bytes"];
  const all = values["max-pool-input-bytes"] ?? Math.max(MOST_INPUTS_BYTES, one);
  if (all < one) {
    const message = `it is less than --max-inputs-bytes (${one}), which one prediction alone may have`;
    context.issues.push({ code: "custom", message, input: all, path: ["max-pool-input-bytes"] });
  }
  const drainFile = values["drain-file"] ?? join(values["state-dir"], "drain");
  return { ...values, "max-pool-input-bytes": all, "drain-file": drainFile };
});
export type Settings = z.infer<typeof SettingsSchema>;

/** A setting is missing or wrong; the message names it and says how to mend it. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/** Reads flags and environment; `null` asks for the help text. Throws `SettingsError`. */
export function readSettings(args: string[], env: Record<string, string | undefined>): Settings | null {
  const given = readFlags(args);
  if (given["help"] === true) return null;
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const value = given[name] ?? env[flag.env];
    if (value !== undefined && value !== "") values[name] = value;
  }
  const files = (["token", "log-password", "kv-token"] as const).flatMap((name) => readSecretFile(values, name));
  if (files.length > 0) values["secret-files"] = files;
  const parsed = SettingsSchema.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const name = String(issue?.path[0] ?? "url");
  const flag = Object.entries(flags).find(([candidate]) => candidate === name)?.[1];
  const missing = values[name] === undefined;
  throw new SettingsError(
    `--${name} (or ${flag?.env}) ${missing ? "is missing" : `is wrong: ${issue?.message}`}: ${flag?.help}. --help lists all settings.`,
  );
}

/** Puts what a secret's file holds in its place, and answers the file. Throws `SettingsError`. */
function readSecretFile(values: Record<string, unknown>, name: "token" | "log-password" | "kv-token"): string[] {
  const file = values[`${name}-file`];
  delete values[`${name}-file`];
  if (typeof file !== "string") return [];
  const twins = `--${name} (${flags[name].env}) and --${name}-file (${flags[`${name}-file`].env})`;
  if (values[name] !== undefined) throw new SettingsError(`${twins} are both set: keep one of them`);
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingsError(`--${name}-file ${file} can't be read: ${why}`);
  }
  if (text === "") throw new SettingsError(`--${name}-file ${file} is empty`);
  values[name] = text;
  return [resolve(file)];
}

export function helpText(): string {
  const lines = Object.entries(flags).map(([name, flag]) => {
    const value = "boolean" in flag ? "" : " …";
    return `  ${`--${name}${value}`.padEnd(28)}${flag.help}${flag.env === "" ? "" : `\n${" ".repeat(30)}${flag.env}`}`;
  });
  return `gpu-pool: serves an Edgeplane's predictions from this host's GPUs

  node gpu-pool/main.ts --url https://edge.example.com --token …

It opens connections outward only. SIGTERM drains: it hands back what waits, finishes what runs, and exits.

${lines.join("\n")}
`;
}

/** A name for a pool that was given none. */
export function inventName(): string {
  const random = crypto.randomUUID().slice(0, 8);
  return `${hostname().slice(0, 100)}-${random}`;
}

/** The lanes of the found models, in order. */
export function lanesOf(models: readonly { manifest: { lane: string } }[]): string[] {
  return [...new Set(models.map(({ manifest }) => LaneNameSchema.parse(manifest.lane)))].sort();
}

function readFlags(args: string[]): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [
      name,
      {
        type: "boolean" in flag ? ("boolean" as const) : ("string" as const),
        ...("short" in flag ? { short: flag.short } : {}),
      },
    ]),
  );
  try {
    const { values } = parseArgs({ args, options, strict: true });
    return Object.fromEntries(Object.entries(values).filter(isSingle));
  } catch (error) {
    throw new SettingsError(`${error instanceof Error ? error.message : String(error)} (--help lists all settings)`);
  }
}

function isSingle(entry: [string, unknown]): entry is [string, string | boolean] {
  return typeof entry[1] === "string" || typeof entry[1] === "boolean";
}
