/** What the operator is shown of accounts, keys and pool tokens. */
import * as z from "zod";
import { scopes } from "../../../plugins/kernel/phases.ts";
import { LaneNameSchema } from "../../contract/job.ts";
import { NameSchema } from "../../contract/manifest.ts";
import { PrioritySchema } from "../../contract/prediction.ts";
import { accountTypes } from "../../registry/accounts.ts";
import type { Account } from "../../registry/accounts.ts";
import type { ApiKey } from "../../registry/api-keys.ts";
import type { PoolToken } from "../../registry/pool-tokens.ts";

export const OperatorAccountSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.enum(accountTypes),
    retention_s: z.number().int().meta({ description: "How many seconds data is kept after its end." }),
    weight: z.number().meta({ description: "Its share of the GPUs beside the other accounts that wait in a lane." }),
    created_at: z.iso.datetime(),
  })
  .meta({ id: "OperatorAccount" });

export const CredentialSchema = z.object({
  id: z.string(),
  name: z.string(),
  hint: z.string().meta({ description: "The last characters of the secret." }),
  created_at: z.iso.datetime(),
  revoked_at: z.iso.datetime().nullable(),
});
type Credential = { id: string; name: string; hint: string; createdAt: number; revokedAt: number | null };

export const KeySchema = CredentialSchema.extend({
  account_id: z.string(),
  scopes: z.array(z.enum(scopes)),
  priority: PrioritySchema.meta({ description: "The highest that a prediction made with the key may ask for." }),
  models: z
    .array(z.string())
    .nullable()
    .meta({ description: "The models that it may use; null: all that its account may." }),
  expires_at: z.iso.datetime().nullable().meta({ description: "From then on it is refused." }),
}).meta({ id: "Key" });
export const NewKeyViewSchema = KeySchema.extend({
  key: z.string().meta({ description: "The key itself: shown once." }),
}).meta({ id: "KeyWithSecret" });

export const PoolTokenSchema = CredentialSchema.extend({
  lanes: z.array(LaneNameSchema),
  may_register_models: z.boolean(),
  owners: z.array(NameSchema).meta({ description: "The owners whose models it may register." }),
  may_store_environments: z.boolean().meta({ description: "Whether other pools run environments that it built." }),
}).meta({ id: "PoolToken" });
export const NewPoolTokenViewSchema = PoolTokenSchema.extend({
  token: z.string().meta({ description: "The token itself: shown once." }),
}).meta({ id: "PoolTokenWithSecret" });

export function showAccount(account: Account): z.output<typeof OperatorAccountSchema> {
  const { id, name, type, retentionMs, weight, createdAt } = account;
  return { id, name, type, retention_s: retentionMs / 1000, weight, created_at: isoTime(createdAt) };
}

export function showKey(key: ApiKey): z.output<typeof KeySchema> {
  const { accountId, scopes: granted, priority, models, expiresAt } = key;
  return {
    ...showCredential(key),
    ...{ account_id: accountId, scopes: granted, priority, models },
    expires_at: expiresAt === null ? null : isoTime(expiresAt),
  };
}

export function showToken(token: PoolToken): z.output<typeof PoolTokenSchema> {
  const { lanes, mayRegisterModels, owners, mayStoreEnvironments } = token;
  return {
    ...showCredential(token),
    ...{ lanes, may_register_models: mayRegisterModels, owners, may_store_environments: mayStoreEnvironments },
  };
}

export function showCredential(credential: Credential): z.output<typeof CredentialSchema> {
  const { id, name, hint, createdAt, revokedAt } = credential;
  return { id, name, hint, created_at: isoTime(createdAt), revoked_at: revokedAt === null ? null : isoTime(revokedAt) };
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}
