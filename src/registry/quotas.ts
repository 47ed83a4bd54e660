/**
 * What one account may have in the registry and in the bucket. Triggers of the database keep the sums (`usage`), every
 * insert is conditioned on them, and a refusal says which quota it was. Models and versions are counted by their owner,
 * which is an account's name.
 */
import { EdgeplaneError } from "../contract/errors.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import type { NumericVar } from "../contract/numeric-vars.ts";

const MAX_DEVICES = 1000;

/** The settings of each kind: how many there may be, and how many bytes they may have. A number is fixed. */
const quotas = {
  keys: { what: "API keys that are valid", count: "QUOTA_KEYS", bytes: null },
  models: { what: "models", count: "QUOTA_MODELS", bytes: null },
  versions: { what: "versions of models", count: "QUOTA_VERSIONS", bytes: "QUOTA_VERSION_BYTES" },
  bundles: { what: "chunks of pushed models", count: "QUOTA_BUNDLE_CHUNKS", bytes: "QUOTA_BUNDLE_BYTES" },
  environments: { what: "stored environments", count: "QUOTA_BUNDLE_CHUNKS", bytes: "QUOTA_ENVIRONMENT_BYTES" },
  deployments: { what: "deployments", count: "QUOTA_DEPLOYMENTS", bytes: null },
  files: { what: "files", count: "QUOTA_FILES", bytes: "QUOTA_FILE_BYTES" },
  metadata: { what: "names and metadata of files", count: null, bytes: "QUOTA_METADATA_BYTES" },
  uploads: { what: "uploads under way", count: "QUOTA_UPLOADS", bytes: null },
  devices: { what: "kinds of device", count: MAX_DEVICES, bytes: null },
} as const satisfies Record<string, { what: string; count: NumericVar | number | null; bytes: NumericVar | null }>;
export type QuotaKind = keyof typeof quotas;

/** Chunks of environments are rows among those of pushed models, under an owner of their own (storage/chunks.ts). */
const countedAs: Partial<Record<QuotaKind, QuotaKind>> = { environments: "bundles" };

type QuotaVar = Extract<NumericVar, `QUOTA_${string}`>;
/** The settings, as the environment has them. */
export type QuotaVars = Readonly<Partial<Record<QuotaVar, string>>>;

/**
 * The SQL condition under which `owner` has room for one more of `kind`, of so many bytes. `owner` and `bytes` are
 * expressions of the statement that it becomes a part of. `more` 0: for a change that adds bytes alone.
 */
export function hasRoom(vars: QuotaVars, kind: QuotaKind, owner: string, bytes = "0", more: 0 | 1 = 1): string {
  const { count: countVar, bytes: bytesVar } = quotas[kind];
  const count = countVar === null || more === 0 ? [] : [`coalesce(max(count), 0) < ${limit(vars, countVar)}`];
  const size = bytesVar === null ? [] : [`coalesce(max(bytes), 0) + ${bytes} <= ${limit(vars, bytesVar)}`];
  return `(SELECT ${[...count, ...size].join(" AND ")} FROM usage WHERE owner = ${owner} AND kind = '${countedAs[kind] ?? kind}')`;
}

/** Throws `quota_exceeded` unless `owner` has room for one more of `kind`, of so many bytes. */
export async function checkRoom(
  env: QuotaVars & { DB: D1Database },
  kind: QuotaKind,
  owner: string,
  bytes = 0,
): Promise<void> {
  const query = `SELECT ${hasRoom(env, kind, "?1", "?2")} AS room, ?2 AS bytes`;
  if ((await env.DB.prepare(query).bind(owner, bytes).first("room")) !== 1) throw quotaExceeded(env, kind);
}

/** What a caller is told who has no room for one more of `kinds`; which of them is full need not be known. */
export function quotaExceeded(vars: QuotaVars, ...kinds: QuotaKind[]): EdgeplaneError {
  return new EdgeplaneError("quota_exceeded", kinds.map((kind) => quotaText(vars, kind)).join(" "));
}

/** A quota in words. */
export function quotaText(vars: QuotaVars, kind: QuotaKind): string {
  const { what, count, bytes } = quotas[kind];
  const parts = [
    ...(count === null ? [] : [`${limit(vars, count)}`]),
    ...(bytes === null ? [] : [`${limit(vars, bytes)} bytes`]),
  ];
  const settings = [count, bytes].filter((name) => typeof name === "string").join(", ");
  return `The account's quota of ${what} is used up: ${parts.join(", ")} in all${settings === "" ? "" : ` (${settings})`}.`;
}

function limit(vars: QuotaVars, name: NumericVar | number): number {
  return typeof name === "number" ? name : numericVar(vars, name);
}
