/**
 * The steps of a deployment at the edge itself, once it is up: it answers, it has an account, a key and a pool token.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { DeployError } from "./deploy-error.ts";
import type { Keys } from "./keys.ts";

const HealthSchema = z.object({ status: z.literal("ok") });
const AccountsSchema = z.looseObject({ results: z.array(z.looseObject({ name: z.string() })) });
const KeySchema = z.looseObject({ key: z.string() });
const TokenSchema = z.looseObject({ token: z.string() });
const HardwareSchema = z.array(z.unknown());

const CALL_LIMIT_MS = 15_000;
const LOOK_PAUSE_MS = 1_000;
/** Between two lines that say that it is still waited for. */
const TELL_EVERY = 15;

/**
 * Waits until the edge at `url` answers. A new address takes a minute or two until its name and certificate are there.
 */
export async function waitUntilUp(
  url: string,
  limitMs: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + limitMs;
  for (let tries = 1; ; tries++) {
    const why = await healthOf(url, signal);
    if (why === null) return;
    if (performance.now() > until)
      throw new DeployError(
        `the Worker is deployed, but ${url} doesn't answer after ${Math.round(limitMs / 1000)} s (${why})`,
        "A new name can take some minutes: open the address, and run this again. Behind a proxy, say --url.",
      );
    if (tries % TELL_EVERY === 0) say(`${url} doesn't answer yet (${why}); waiting on`);
    await sleep(LOOK_PAUSE_MS, undefined, { signal });
  }
}

async function healthOf(url: string, signal: AbortSignal): Promise<string | null> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(CALL_LIMIT_MS)]);
    const response = await fetch(`${url}/healthz`, { signal: limit, redirect: "manual" });
    const text = await response.text();
    if (!response.ok) return `status ${response.status}`;
    return HealthSchema.safeParse(parseJson(text)).success ? null : "something else answers there";
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return cause instanceof Error ? cause.message : String(cause);
  }
}

export type EdgeKeys = Pick<Keys, "apiKey" | "poolToken">;

/**
 * The key and the token of `keys` where the edge knows them; new ones, of `account`, where they are not there. Throws
 * `DeployError` when the edge doesn't take the operator's key, or doesn't say whether it knows the others.
 */
export async function ensureEdgeKeys(url: string, keys: Keys, account: string): Promise<EdgeKeys & { made: boolean }> {
  const { apiKey, poolToken } = keys;
  if (apiKey !== null && poolToken !== null && (await isKnown(url, apiKey))) return { apiKey, poolToken, made: false };
  const admin = callerOf(url, keys.adminKey);
  const { results } = AccountsSchema.parse(await admin("GET", `accounts?limit=1000`));
  if (!results.some(({ name }) => name === account)) await admin("POST", "accounts", { name: account });
  const made = KeySchema.parse(await admin("POST", "keys", { account, name: "deploy" }));
  const pool = { name: "deploy", may_register_models: true, owners: [...new Set(["local", account])] };
  const { token } = TokenSchema.parse(await admin("POST", "pool-tokens", pool));
  return { apiKey: made.key, poolToken: token, made: true };
}

/** Whether a pool has come. */
export async function hasPools(url: string, apiKey: string): Promise<boolean> {
  const response = await fetch(`${url}/v1/hardware`, {
    headers: { authorization: `Bearer ${apiKey}` },
    signal: AbortSignal.timeout(CALL_LIMIT_MS),
  });
  const parsed = HardwareSchema.safeParse(parseJson(await response.text()));
  return response.ok && parsed.success && parsed.data.length > 0;
}

async function isKnown(url: string, apiKey: string): Promise<boolean> {
  const response = await fetch(`${url}/v1/account`, {
    headers: { authorization: `Bearer ${apiKey}` },
    signal: AbortSignal.timeout(CALL_LIMIT_MS),
  });
  await response.body?.cancel();
  if (response.ok) return true;
  if (response.status === 401 || response.status === 403) return false;
  throw new DeployError(`the edge answered ${response.status} when it was asked for the account`, "Run this again.");
}

function callerOf(url: string, adminKey: string) {
  return async (method: "GET" | "POST", path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${url}/admin/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    const text = await response.text();
    if (response.ok) return parseJson(text);
    if ([401, 403, 404].includes(response.status))
      throw new DeployError(
        "the Worker doesn't take the operator's key that is kept here",
        "Set EDGEPLANE_ADMIN_KEY to the one that it has, or give it a new one: `npx wrangler secret put ADMIN_KEY`.",
      );
    throw new DeployError(
      `the edge refused /admin/v1/${path} (${response.status}): ${text.slice(0, 300)}`,
      "Run this again.",
    );
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
