/** What a stranger's guesses cost, what stays valid, and how the secret of the MACs is replaced. */
import { expect, it } from "vitest";
import { newSecret, sha256Hex } from "../../plugins/kernel/secret.ts";
import { createCountedEnv } from "../../test/worker/counted-env.ts";
import { admin, call, newKey, testEnv } from "../../test/worker/edge-harness.ts";
import type { Env } from "../env.ts";
import { mayExist, newCredential } from "./credentials.ts";

const GUESSES = 20;
const doors = [
  { prefix: "ep_", path: "/v1/account", table: "api_keys" },
  { prefix: "epp_", path: "/pool/v1/models/acme/none/versions/none", table: "pool_tokens" },
] as const;
const made = async (prefix: string) =>
  prefix === "ep_" ? newKey(`c-${crypto.randomUUID()}`) : String((await admin("/pool-tokens", {}))["token"]);
/** As many random texts as there are guesses. */
const guesses = (prefix: string, behind: string) =>
  Array.from({ length: GUESSES }, () => newSecret(prefix) + newSecret(behind).slice(0, behind === "" ? 0 : 22));
const databaseCalls = (calls: Record<string, number>) =>
  Object.entries(calls)
    .filter(([name]) => name.startsWith("DB "))
    .reduce((sum, [, count]) => sum + count, 0);

it.each(doors)("refuses made-up credentials of $prefix without a read of the database", async ({ prefix, path }) => {
  const { env, calls } = createCountedEnv(testEnv);
  const genuine = await made(prefix);
  const other = doors.find((door) => door.prefix !== prefix)?.prefix ?? "";
  const swapped = `${prefix}${(await made(other)).slice(other.length)}`;
  const altered = genuine.slice(0, -1) + (genuine.endsWith("A") ? "B" : "A");
  for (const key of [...guesses(prefix, "m"), swapped, altered])
    expect([key, (await call(path, { key, env })).status]).toEqual([key, 401]);
  expect(calls).toEqual({});
  expect((await call(path, { key: genuine, env })).status).not.toBe(401);
});

it.each(doors)("lets made-up ones of the form without a MAC cost one read in all", async ({ prefix, path }) => {
  const { env, calls } = createCountedEnv(testEnv);
  for (const key of guesses(prefix, "")) expect((await call(path, { key, env })).status).toBe(401);
  expect(databaseCalls(calls)).toBe(1);
});

it.each(doors)("keeps credentials of $prefix valid that were made before there were MACs", async (door) => {
  const { prefix, path, table } = door;
  const { env } = createCountedEnv(testEnv);
  const key = newSecret(prefix);
  const id = crypto.randomUUID();
  const columns = { api_keys: "account_id, scopes", pool_tokens: "lanes, may_register_models" }[table];
  const values = { api_keys: `(SELECT id FROM accounts LIMIT 1), '["account:read"]'`, pool_tokens: `'["default"]', 0` };
  const insert = `INSERT INTO ${table} (id, name, hash, hint, created_at, ${columns}) VALUES (?, '', ?, '', 0, ${values[table]})`;
  await testEnv.DB.prepare(insert)
    .bind(id, await sha256Hex(key))
    .run();
  expect((await call(path, { key, env })).status).not.toBe(401);
});

it("takes MACs of the secret before beside those of the new one, and of no third", async () => {
  const [first, second, third] = ["1", "2", "3"].map((digit) => digit.repeat(32));
  const kind = { prefix: "ep_", table: "api_keys" } as const;
  const secrets = (now?: string, before?: string) =>
    ({ ...testEnv, CREDENTIAL_SECRET: now, CREDENTIAL_SECRET_BEFORE: before }) as Env;
  const key = await newCredential(secrets(first), "ep_");
  const derived = await newCredential(secrets(), "ep_");
  expect(await mayExist(secrets(second, first), kind, key)).toBe(true);
  expect(await mayExist(secrets(second, third), kind, key)).toBe(false);
  expect(await mayExist(secrets(second, first), kind, await newCredential(secrets(second, first), "ep_"))).toBe(true);
  expect(await mayExist(secrets(first), kind, derived)).toBe(false);
  expect(await mayExist(secrets(first, testEnv.EDGEPLANE_SECRET), kind, derived)).toBe(true);
  await expect(newCredential(secrets("short"), "ep_")).rejects.toThrow("CREDENTIAL_SECRET must have at least 32");
});
