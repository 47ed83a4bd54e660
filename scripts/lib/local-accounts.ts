/**
 * The local stack's own account, API key and pool token: made through `/admin/v1`, as an operator would, once per state
 * folder.
 */
import * as z from "zod";
import type { Secrets } from "./secrets.ts";
import { StackError } from "./stack-error.ts";

/** The name of the account. */
export const ACCOUNT = "local";
const AccountsSchema = z.looseObject({ results: z.array(z.looseObject({ name: z.string() })) });
const MadeKeySchema = z.looseObject({ key: z.string() });
const MadeTokenSchema = z.looseObject({ token: z.string() });

export type Credentials = { apiKey: string; poolToken: string };

/** What the token may do. What its pool builds is run by this machine's pools alone. */
const RIGHTS = { may_register_models: true, may_store_environments: true };

/**
 * The key and the token of `secrets` where the edge still knows them, new ones otherwise. `rights`: an edge of an
 * earlier release knows fewer. Throws `StackError` when it makes none.
 */
export async function ensureCredentials(
  url: string,
  secrets: Secrets,
  rights: Partial<typeof RIGHTS> = RIGHTS,
): Promise<Credentials> {
  const admin = (method: "GET" | "POST", path: string, body?: unknown) =>
    callAdmin(url, secrets.adminKey, method, path, body);
  const known = secrets.apiKey !== null && (await isKnown(url, secrets.apiKey));
  if (known && secrets.apiKey !== null && secrets.poolToken !== null) {
    return { apiKey: secrets.apiKey, poolToken: secrets.poolToken };
  }
  const { results } = AccountsSchema.parse(await admin("GET", "accounts"));
  if (!results.some(({ name }) => name === ACCOUNT)) await admin("POST", "accounts", { name: ACCOUNT });
  const key = MadeKeySchema.parse(
    await admin("POST", "keys", { account: ACCOUNT, name: "local stack", priority: "high" }),
  );
  const pool = { name: "local stack", lanes: ["default", "guards"], ...rights };
  const token = MadeTokenSchema.parse(await admin("POST", "pool-tokens", pool));
  return { apiKey: key.key, poolToken: token.token };
}

async function isKnown(url: string, apiKey: string): Promise<boolean> {
  const response = await fetch(`${url}/v1/account`, { headers: { authorization: `Bearer ${apiKey}` } });
  await response.body?.cancel();
  return response.ok;
}

/** One call of an operator. Throws `StackError` where it is refused. */
export async function callAdmin(
  url: string,
  adminKey: string,
  method: "GET" | "POST",
  path: string,
  body: unknown,
): Promise<unknown> {
  const response = await fetch(`${url}/admin/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  throw new StackError(`the edge refused /admin/v1/${path} (${response.status}): ${text.slice(0, 500)}`);
}
