/**
 * The bridge's settings: a JSON file, each value of which an environment variable may override, checked as a whole at
 * start. The table of variables is also what `--help` and docs/bridge.md show.
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";

const PrefixesSchema = z.array(z.string().max(249)).max(100);

const UserSchema = z.strictObject({
  username: z.string().min(1).max(256),
  password: z.string().min(8, "at least 8 characters").max(1024),
  /** Topics that the user may write and read: prefixes; `""` stands for all. */
  produce: PrefixesSchema.default([]),
  consume: PrefixesSchema.default([]),
  /** Consumer groups that the user may join, read and commit: prefixes. */
  groups: PrefixesSchema.default([""]),
});
export type KafkaUser = z.infer<typeof UserSchema>;

const TokenSchema = z.strictObject({
  token: z.string().min(16, "at least 16 characters").max(1024),
  /** Every key of every command must begin with it. */
  keyPrefix: z
    .string()
    .max(256)
    .regex(/^[^*?[\]\\^]*$/, "no *, ?, [, ], ^ or backslash: they are wildcards in patterns")
    .default(""),
  readOnly: z.boolean().default(false),
});
export type RedisToken = z.infer<typeof TokenSchema>;

const TlsSchema = z.strictObject({
  /** Paths of PEM files. */
  ca: z.string().optional(),
  cert: z.string().optional(),
  key: z.string().optional(),
  serverName: z.string().optional(),
});
export type TlsSettings = z.infer<typeof TlsSchema>;

const SaslSchema = z.strictObject({
  mechanism: z.enum(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
  username: z.string().min(1),
  password: z.string().min(1),
});

const BrokerSchema = z.string().regex(/^[^\s:,/]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, "must be host:port");

const TopicPolicySchema = z.strictObject({
  /** Create a topic on its first produce or consume, if the user has the right to that topic. */
  create: z.boolean().default(false),
  partitions: z.number().int().min(1).max(1000).default(3),
  /** Copies of each partition; -1 leaves it to the cluster. */
  replicas: z.number().int().min(-1).max(10).default(-1),
  retentionMs: z.number().int().min(-1).optional(),
});

const LimitsSchema = z.strictObject({
  maxBodyBytes: z.number().int().min(1024).max(100_000_000).default(8_388_608),
  /** Consumer instances alive at once, in all. */
  maxInstances: z.number().int().min(1).max(10_000).default(256),
  /** How long an instance that nobody asks anything keeps its partitions. */
  instanceIdleMs: z.number().int().min(1000).max(3_600_000).default(30_000),
  maxConsumeRecords: z.number().int().min(1).max(10_000).default(500),
  maxConsumeBytes: z.number().int().min(1024).max(50_000_000).default(1_048_576),
  maxConsumeWaitMs: z.number().int().min(0).max(300_000).default(60_000),
  /** What waits to be produced; beyond it produce answers 503. */
  maxPendingBytes: z.number().int().min(65_536).default(67_108_864),
  /** How long one produce may take until it answers 503. */
  produceTimeoutMs: z.number().int().min(100).max(120_000).default(15_000),
});

export const KafkaSettingsSchema = z.strictObject({
  brokers: z.array(BrokerSchema).min(1).max(50),
  clientId: z.string().min(1).max(128).default("edgeplane-bridge"),
  tls: z.union([z.boolean(), TlsSchema]).default(false),
  sasl: SaslSchema.optional(),
  users: z.array(UserSchema).min(1).max(1000),
  topics: TopicPolicySchema.default(TopicPolicySchema.parse({})),
  limits: LimitsSchema.default(LimitsSchema.parse({})),
  /** After this long without a heartbeat the cluster gives an instance's partitions to others. */
  sessionTimeoutMs: z.number().int().min(1000).max(300_000).default(10_000),
  heartbeatIntervalMs: z.number().int().min(100).max(60_000).default(1000),
});
/**
 * What it takes to reach a cluster, and whether topics may be created: all that a pool needs that reads it natively.
 */
export const ClusterSettingsSchema = KafkaSettingsSchema.pick({
  brokers: true,
  clientId: true,
  tls: true,
  sasl: true,
  topics: true,
});
/** A cluster that a pool reads natively. */
export const PoolClusterSchema = ClusterSettingsSchema.extend({
  /** `consumer` is KIP-848's, for lanes whose pools all read natively: members behind a bridge are classic ones. */
  groupProtocol: z.enum(["classic", "consumer"]).default("classic"),
});
export type PoolCluster = z.infer<typeof PoolClusterSchema>;
export type ClusterSettings = z.infer<typeof ClusterSettingsSchema>;
export type KafkaSettings = z.infer<typeof KafkaSettingsSchema>;

export const RedisSettingsSchema = z.strictObject({
  /** `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. */
  url: z.url({ protocol: /^rediss?$/ }),
  tls: TlsSchema.optional(),
  tokens: z.array(TokenSchema).min(1).max(1000),
  maxBodyBytes: z.number().int().min(1024).max(100_000_000).default(10_485_760),
  maxPipelineCommands: z.number().int().min(1).max(100_000).default(1000),
  maxSubscriptions: z.number().int().min(0).max(10_000).default(100),
  commandTimeoutMs: z.number().int().min(100).max(120_000).default(10_000),
});
export type RedisSettings = z.infer<typeof RedisSettingsSchema>;

export const SettingsSchema = z
  .strictObject({
    host: z.string().default("127.0.0.1"),
    port: z.number().int().min(0).max(65_535).default(8790),
    /** Certificate and key (PEM files) to serve HTTPS with; without them it serves HTTP. */
    https: z.strictObject({ cert: z.string(), key: z.string() }).optional(),
    logLevel: z.enum(["fatal", "error", "warn", "info", "debug", "silent"]).default("info"),
    /** How long a shutdown waits for requests that are running. */
    drainMs: z.number().int().min(0).max(300_000).default(10_000),
    kafka: KafkaSettingsSchema.optional(),
    redis: RedisSettingsSchema.optional(),
  })
  .refine((settings) => settings.kafka !== undefined || settings.redis !== undefined, {
    message: "has neither kafka nor redis: set at least kafka.brokers and kafka.users, or redis.url and redis.tokens",
  });
export type Settings = z.infer<typeof SettingsSchema>;

type Kind = "text" | "number" | "boolean" | "list" | "json";
type Variable = { name: string; path: readonly string[]; kind: Kind; help: string };

const variable = (name: string, path: string, kind: Kind, help: string): Variable => ({
  name: `BRIDGE_${name}`,
  path: path.split("."),
  kind,
  help,
});

export const variables: readonly Variable[] = [
  variable("HOST", "host", "text", "address to listen on (127.0.0.1)"),
  variable("PORT", "port", "number", "port to listen on (8790)"),
  variable("HTTPS_CERT", "https.cert", "text", "PEM file: serve HTTPS with this certificate"),
  variable("HTTPS_KEY", "https.key", "text", "PEM file: its key"),
  variable("LOG_LEVEL", "logLevel", "text", "fatal, error, warn, info, debug, silent (info)"),
  variable("KAFKA_BROKERS", "kafka.brokers", "list", "host:port, several separated by commas"),
  variable("KAFKA_USERS", "kafka.users", "json", '[{"username","password","produce":[…],"consume":[…],"groups":[…]}]'),
  variable("KAFKA_TLS", "kafka.tls", "boolean", "true: TLS to the cluster, checked against the system's certificates"),
  variable("KAFKA_TLS_CA", "kafka.tls.ca", "text", "PEM file: TLS to the cluster, checked against this certificate"),
  variable("KAFKA_TLS_CERT", "kafka.tls.cert", "text", "PEM file: the client's certificate"),
  variable("KAFKA_TLS_KEY", "kafka.tls.key", "text", "PEM file: the client's key"),
  variable("KAFKA_SASL_MECHANISM", "kafka.sasl.mechanism", "text", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
  variable("KAFKA_SASL_USERNAME", "kafka.sasl.username", "text", "the bridge's user at the cluster"),
  variable("KAFKA_SASL_PASSWORD", "kafka.sasl.password", "text", "its password"),
  variable("KAFKA_TOPICS_CREATE", "kafka.topics.create", "boolean", "create topics on first use (false)"),
  variable("KAFKA_TOPICS_PARTITIONS", "kafka.topics.partitions", "number", "partitions of a created topic (3)"),
  variable(
    "KAFKA_TOPICS_REPLICAS",
    "kafka.topics.replicas",
    "number",
    "copies of a created topic (-1, the cluster's default)",
  ),
  variable("KAFKA_TOPICS_RETENTION_MS", "kafka.topics.retentionMs", "number", "retention of a created topic"),
  variable("REDIS_URL", "redis.url", "text", "redis://[user:password@]host:port[/db], or rediss://"),
  variable("REDIS_TLS_CA", "redis.tls.ca", "text", "PEM file: check the server against this certificate"),
  variable("REDIS_TOKENS", "redis.tokens", "json", '[{"token","keyPrefix":"…","readOnly":false}]'),
];

export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/**
 * Reads and checks the settings. `file` is the path of a JSON file or undefined. Throws `SettingsError`, with every
 * fault named by its path and without any value.
 */
export async function loadSettings(file: string | undefined, env: NodeJS.ProcessEnv): Promise<Settings> {
  const raw = file === undefined ? {} : await readSettingsFile(file);
  for (const entry of variables) {
    const text = env[entry.name];
    if (text !== undefined && text !== "") setPath(raw, entry.path, convert(entry, text));
  }
  const result = SettingsSchema.safeParse(raw);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${issue.path.join(".") || "settings"}: ${issue.message}`);
  throw new SettingsError(`The bridge's settings are not valid:\n${lines.join("\n")}`);
}

async function readSettingsFile(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new SettingsError(`Can't read the settings file ${file}: ${error.message}`);
  });
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    throw new SettingsError(`The settings file ${file} must be a JSON object.`);
  }
}

function convert(entry: Variable, text: string): unknown {
  switch (entry.kind) {
    case "number":
      return Number(text);
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    case "list":
      return text.split(",").map((part) => part.trim());
    case "json":
      return parseVariable(entry, text);
    default:
      return text;
  }
}

function parseVariable(entry: Variable, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SettingsError(`${entry.name} must be JSON: ${entry.help}`);
  }
}

function setPath(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let current = target;
  for (const key of path.slice(0, -1)) {
    const next = current[key];
    const child: Record<string, unknown> = isObject(next) ? next : {};
    current[key] = child;
    current = child;
  }
  const last = path.at(-1);
  if (last !== undefined) current[last] = value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
