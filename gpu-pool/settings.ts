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
import { isolationSettings } from "./runtime/isolation/types.ts";

type Flag = { env: string; help: string; short?: string; boolean?: true };

const flags = {
  url: { env: "EDGEPLANE_URL", help: "the edge's address, such as https://edge.example.com (required)" },
  token: {
    env: "EDGEPLANE_POOL_TOKEN",
    help: "the pool's token (required; better in a file, or in the environment, than in the arguments)",
  },
  "token-file": {
    env: "EDGEPLANE_POOL_TOKEN_FILE",
    help: "a file that holds the token, in place of --token: nobody sees it among the processes of the host",
  },
  models: { env: "EDGEPLANE_MODELS", help: "the folder with the models, one subfolder each (default ./examples)" },
  enable: {
    env: "EDGEPLANE_ENABLE",
    help: "models to serve although their cog.yaml turns them off, by commas (default none)",
  },
  name: {
    env: "EDGEPLANE_POOL_NAME",
    help: "the pool's name (default: the host's name and a random part, kept in the state folder)",
  },
  "state-dir": {
    env: "EDGEPLANE_STATE_DIR",
    help: "where the journal, the spool and scratch files live (default ~/.edgeplane/pool)",
  },
  "environments-dir": {
    env: "EDGEPLANE_ENVIRONMENTS_DIR",
    help: "where all pools of the host keep the models' environments (default ~/.cache/edgeplane/environments; root: /var/cache/edgeplane/environments)",
  },
  "environments-bytes": {
    env: "EDGEPLANE_ENVIRONMENTS_BYTES",
    help: "what they may take on disk before those that nobody uses are removed (default 53687091200)",
  },
  "log-url": {
    env: "EDGEPLANE_LOG_URL",
    help: "another log that speaks the Upstash Kafka dialect, such as a bridge (default: the edge's own)",
  },
  "log-username": { env: "EDGEPLANE_LOG_USERNAME", help: "the user at that log (default pool)" },
  "log-password": { env: "EDGEPLANE_LOG_PASSWORD", help: "the password at that log (default: the pool's token)" },
  "log-password-file": { env: "EDGEPLANE_LOG_PASSWORD_FILE", help: "a file that holds it, in place of --log-password" },
  "kafka-settings": {
    env: "EDGEPLANE_KAFKA_SETTINGS",
    help: "a JSON file {brokers, tls, sasl, topics}: read jobs from this Kafka cluster natively (default: not)",
  },
  delivery: {
    env: "EDGEPLANE_DELIVERY",
    help: "how events go home: http, or kv: parked in a Redis over REST, where the edge finds them (default http)",
  },
  "kv-url": { env: "EDGEPLANE_KV_URL", help: "for --delivery kv: that Redis, such as a bridge's /redis" },
  "kv-token": { env: "EDGEPLANE_KV_TOKEN", help: "for --delivery kv: the token for it" },
  "kv-token-file": { env: "EDGEPLANE_KV_TOKEN_FILE", help: "a file that holds it, in place of --kv-token" },
  "kv-prefix": {
    env: "EDGEPLANE_KV_PREFIX",
    help: "for --delivery kv: what the pool's keys begin with (default edgeplane:)",
  },
  warm: {
    env: "EDGEPLANE_WARM",
    help: "start a process of every model at once instead of on first use (default off)",
    boolean: true,
  },
  "ahead-batches": {
    env: "EDGEPLANE_AHEAD_BATCHES",
    help: "the most batches that wait here for each slot; only what should begin within a second does (default 32)",
  },
  "setup-timeout-ms": {
    env: "EDGEPLANE_SETUP_TIMEOUT_MS",
    help: "how long import and setup() of a model may take (default 600000)",
  },
  "cancel-grace-ms": {
    env: "EDGEPLANE_CANCEL_GRACE_MS",
    help: "from a cancel, or a deadline, to the kill (default 5000)",
  },
  "silence-ms": {
    env: "EDGEPLANE_SILENCE_MS",
    help: "a model process without a sign of life for so long is killed (default 10000)",
  },
  "health-every-ms": {
    env: "EDGEPLANE_HEALTH_EVERY_MS",
    help: "how often a model with a healthcheck is asked (default 10000)",
  },
  "idle-stop-ms": {
    env: "EDGEPLANE_IDLE_STOP_MS",
    help: "a model process without work for so long is stopped (default 600000; 0: never)",
  },
  "drain-timeout-ms": {
    env: "EDGEPLANE_DRAIN_TIMEOUT_MS",
    help: "how long a drain waits for what runs (default 60000)",
  },
  preemption: {
    env: "EDGEPLANE_PREEMPTION",
    help: "whose notices end this pool: aws, gcp, azure, auto (whose metadata service answers at start) or off (default auto)",
  },
  "metadata-url": {
    env: "EDGEPLANE_METADATA_URL",
    help: "the metadata service of the cloud (default http://169.254.169.254)",
  },
  "drain-file": {
    env: "EDGEPLANE_DRAIN_FILE",
    help: "a file whose appearance starts a drain, with the seconds that are left in it (default <state-dir>/drain)",
  },
  "max-input-bytes": {
    env: "EDGEPLANE_MAX_INPUT_BYTES",
    help: "the largest input file that is downloaded (default 1073741824)",
  },
  "max-inputs-bytes": {
    env: "EDGEPLANE_MAX_INPUTS_BYTES",
    help: "the most that all input files of one prediction are together (default 4294967296)",
  },
  "max-pool-input-bytes": {
    env: "EDGEPLANE_MAX_POOL_INPUT_BYTES",
    help: "the most that the input files of all predictions here take together (default 17179869184)",
  },
  "max-upload-backlog-bytes": {
    env: "EDGEPLANE_MAX_UPLOAD_BACKLOG_BYTES",
    help: "so many bytes of outputs may wait for their upload before the pool takes nothing more (default 8589934592)",
  },
  "min-free-disk-bytes": {
    env: "EDGEPLANE_MIN_FREE_DISK_BYTES",
    help: "with less free on the state folder's disk nothing more is taken (default 536870912; 0: never looked at)",
  },
  "allow-loopback-inputs": {
    env: "EDGEPLANE_ALLOW_LOOPBACK_INPUTS",
    help: "input URLs may lead to this host (default off: public addresses only)",
    boolean: true,
  },
  "allow-build-run": {
    env: "EDGEPLANE_ALLOW_BUILD_RUN",
    help: "run the commands of build.run in cog.yaml on this host (default off)",
    boolean: true,
  },
  "allow-system-packages": {
    env: "EDGEPLANE_ALLOW_SYSTEM_PACKAGES",
    help: "install build.system_packages of cog.yaml on this host with apt, as root (default off)",
    boolean: true,
  },
  isolation: {
    env: "EDGEPLANE_ISOLATION",
    help: "what keeps models from the pool's secrets and from each other: auto (the best that the host can), required, namespaces (bubblewrap), user (as root: a user for each model) or off (default auto)",
  },
  readable: {
    env: "EDGEPLANE_READABLE",
    help: "folders of this host that isolated models may read, by commas, such as weights outside of their folders (default none)",
  },
  "trusted-owners": {
    env: "EDGEPLANE_TRUSTED_OWNERS",
    help: "owners whose models may run where nothing isolates them, by commas (default local)",
  },
  "device-check": {
    env: "EDGEPLANE_DEVICE_CHECK",
    help: "checks each GPU at start: auto, off, or a program that gets its id and exits with 1 when it is sick (default auto)",
  },
  "metrics-port": {
    env: "EDGEPLANE_METRICS_PORT",
    help: "port of /healthz, /metrics and /models on 127.0.0.1 (default 9464; 0: a free one)",
  },
  "metrics-host": { env: "EDGEPLANE_METRICS_HOST", help: "the address to listen on (default 127.0.0.1)" },
  "log-level": { env: "EDGEPLANE_LOG_LEVEL", help: "fatal, error, warn, info, debug, trace or silent (default info)" },
  "log-model-output": {
    env: "EDGEPLANE_LOG_MODEL_OUTPUT",
    help: "log what models print outside predictions; may hold prompts (default off)",
    boolean: true,
  },
  help: { env: "", help: "print this", short: "h", boolean: true },
} as const satisfies Record<string, Flag>;

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
