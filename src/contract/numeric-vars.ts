/** The Worker's variables that are whole numbers: their bounds, and what holds where one is unset. */
const numericVars = {
  SHARD_COUNT: { least: 1, most: 1024, usual: 1024 },
  LOG_BROKERS: { least: 1, most: 256, usual: 1 },
  LOG_PARTITIONS: { least: 1, most: 1024, usual: 8 },
  LOG_RETENTION_MS: { least: 1, most: Number.MAX_SAFE_INTEGER, usual: 7 * 86_400_000 },
  QUOTA_KEYS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1000 },
  QUOTA_MODELS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1000 },
  QUOTA_VERSIONS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 10_000 },
  QUOTA_VERSION_BYTES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 32 * 1_048_576 },
  QUOTA_BUNDLE_BYTES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 100 * 1024 ** 3 },
  QUOTA_BUNDLE_CHUNKS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1_000_000 },
  QUOTA_ENVIRONMENT_BYTES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 50 * 1024 ** 3 },
  QUOTA_DEPLOYMENTS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1000 },
  QUOTA_FILES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 100_000 },
  QUOTA_FILE_BYTES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1024 ** 4 },
  QUOTA_METADATA_BYTES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 16 * 1_048_576 },
  QUOTA_UPLOADS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1000 },
  QUOTA_DEAD_LETTERS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 10_000 },
  LOG_RETENTION_BYTES: { least: 1, most: Number.MAX_SAFE_INTEGER, usual: 64 * 1_048_576 },
  LOG_USER_TOPICS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1000 },
  LOG_USER_BYTES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 2 * 1024 ** 3 },
  LOG_USER_GROUPS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 1000 },
  LOG_USER_INSTANCES: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 5000 },
  LOG_USER_OFFSETS: { least: 0, most: Number.MAX_SAFE_INTEGER, usual: 20_000 },
  BODY_BYTES: { least: 64 * 1_048_576, most: Number.MAX_SAFE_INTEGER, usual: 64 * 1_048_576 },
  ACCOUNT_BODY_BYTES: { least: 30 * 1_048_576, most: Number.MAX_SAFE_INTEGER, usual: 32 * 1_048_576 },
  ACCOUNT_STREAMS: { least: 1, most: 100_000, usual: 500 },
  ACCOUNT_HELD_REQUESTS: { least: 1, most: 100_000, usual: 2000 },
  WEBHOOK_HOST_REQUESTS: { least: 1, most: 100, usual: 20 },
  WEBHOOK_ACCOUNT_BYTES: { least: 1, most: Number.MAX_SAFE_INTEGER, usual: 256 * 1_048_576 },
  WEBHOOK_ACCOUNT_LOG_BYTES: { least: 1, most: Number.MAX_SAFE_INTEGER, usual: 64 * 1_048_576 },
} as const;

export type NumericVar = keyof typeof numericVars;

export const numericVarNames = Object.keys(numericVars) as NumericVar[];

/** Throws an error that says what the variable takes when it is anything else. */
export function numericVar(vars: Readonly<Partial<Record<NumericVar, string>>>, name: NumericVar): number {
  const { least, most, usual } = numericVars[name];
  const text = vars[name]?.trim() ?? "";
  if (text === "") return usual;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`;
  throw new Error(`${name} is "${text}"; it takes a whole number ${range}`);
}
