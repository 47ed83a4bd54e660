/**
 * Tokens of those that machines come from (`eps_…`): a provider service is told what to rent, and whoever starts
 * machines by the metrics reads what is wanted.
 */
import * as z from "zod";
import { sha256Hex } from "../../plugins/kernel/secret.ts";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { ProviderNameSchema } from "../contract/provider.ts";
import type { Env } from "../env.ts";
import { mayExist, newCredential, revokeToken, tokenRows } from "./credentials.ts";
import type { CredentialKind, CredentialSecrets } from "./credentials.ts";
import { StringListColumnSchema } from "./sql.ts";
import type { OldestFirst } from "./sql.ts";

const TOKEN_PATTERN = /^eps_[A-Za-z0-9_-]{65}$/;
const KIND: CredentialKind = { prefix: "eps_", table: "scaling_tokens" };
const HINT_LENGTH = 4;
const CACHE_MS = 10_000;
const CACHED_TOKENS = 200;

type Stores = CredentialSecrets & Pick<Env, "DB">;

export const scalingScopes = ["provider", "metrics"] as const;
export type ScalingScope = (typeof scalingScopes)[number];

export const NewScalingTokenSchema = z.strictObject({
  name: z.string().max(128).default(""),
  scope: z
    .enum(scalingScopes)
    .default("provider")
    .meta({ description: "`provider`: for `edgeplane-provider`; `metrics`: reads `/admin/v1/scaling/metrics` only." }),
  providers: z
    .array(ProviderNameSchema)
    .min(1)
    .max(20)
    .nullable()
    .default(null)
    .meta({ description: "The provider entries that it may speak for; null: any." }),
});

const RowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    hint: z.string(),
    scope: z.enum(scalingScopes),
    providers: StringListColumnSchema.nullable(),
    created_at: z.number(),
    revoked_at: z.number().nullable(),
  })
  .transform(({ created_at: createdAt, revoked_at: revokedAt, ...row }) => ({ ...row, createdAt, revokedAt }));
export type ScalingToken = z.output<typeof RowSchema>;
/** Who a token is. `providers` null: any. */
export type ScalingIdentity = Pick<ScalingToken, "id" | "scope" | "providers">;

const cached = createTtlCache<ScalingIdentity>(CACHED_TOKENS);

/** Makes a token. `secret` is the token itself: nobody can read it again. */
export async function createScalingToken(
  env: Stores,
  { name, scope, providers }: z.output<typeof NewScalingTokenSchema>,
): Promise<{ token: ScalingToken; secret: string }> {
  const secret = await newCredential(env, KIND.prefix);
  const hint = secret.slice(-HINT_LENGTH);
  const token = { id: crypto.randomUUID(), name, hint, scope, providers, createdAt: Date.now(), revokedAt: null };
  await env.DB.prepare(
    `INSERT INTO scaling_tokens (id, name, hash, hint, scope, providers, created_at, has_mac)
       VALUES (?, ?, ?, ?, ?, ?, ?, 1)`,
  )
    .bind(
      ...[token.id, name, await sha256Hex(secret), hint, scope],
      ...[providers === null ? null : JSON.stringify(providers), token.createdAt],
    )
    .run();
  return { token, secret };
}

/** Revokes a token; false when there is none with this id. Isolates forget it within 10 s. */
export async function revokeScalingToken(db: D1Database, id: string): Promise<boolean> {
  return revokeToken(db, KIND, id);
}

/** A page of the tokens, oldest first, without their secrets: the valid ones, or those that were revoked. */
export async function listScalingTokens(
  db: D1Database,
  page: OldestFirst & { revoked: boolean },
): Promise<ScalingToken[]> {
  return (await tokenRows(db, KIND, page)).map((row) => RowSchema.parse(row));
}

/** Who a token is; null when it is unknown or revoked. Remembered for at most 10 s in the isolate. */
export async function identifyScaling(env: Stores, token: string): Promise<ScalingIdentity | null> {
  if (!TOKEN_PATTERN.test(token)) return null;
  const known = cached.get(token);
  if (known !== undefined) return known;
  if (!(await mayExist(env, KIND, token))) return null;
  const row = await env.DB.prepare("SELECT * FROM scaling_tokens WHERE hash = ? AND revoked_at IS NULL")
    .bind(await sha256Hex(token))
    .first();
  if (row === null) return null;
  const { id, scope, providers } = RowSchema.parse(row);
  const identity = { id, scope, providers };
  cached.set(token, identity, CACHE_MS);
  return identity;
}
