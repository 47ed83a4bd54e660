/**
 * The soak's accounts: a greedy one, whose operations come in bursts and are most of all, and four that ask for little
 * at an even pace.
 */
import * as z from "zod";
import { ACCOUNT } from "../local-accounts.ts";
import type { Stack } from "../stack.ts";

export const GREEDY = ACCOUNT;
const QUIET = ["quiet-1", "quiet-2", "quiet-3", "quiet-4"] as const;
export const accounts = [GREEDY, ...QUIET] as const;
export type Account = (typeof accounts)[number];

/** Of ten operations, so many are the greedy account's; the quiet ones have one each. */
const GREEDY_SHARE = 6;
/** The shortest that there is. */
const RETENTION_S = 60;

const MadeKeySchema = z.looseObject({ key: z.string() });

/** Whose the operation of that number is: each account has all kinds of operations in their shares. */
export function accountOf(number: number): Account {
  const place = (number + Math.floor(number / 40)) % 10;
  return QUIET[place - GREEDY_SHARE] ?? GREEDY;
}

/**
 * A key of each account. Their retention is the shortest, so that within minutes as much is deleted as comes in. Throws
 * when the edge refuses it.
 */
export async function openAccounts(stack: Pick<Stack, "url" | "adminKey" | "apiKey">): Promise<Map<Account, string>> {
  async function admin(method: "POST" | "PATCH", path: string, body: object): Promise<unknown> {
    const response = await fetch(`${stack.url}/admin/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${stack.adminKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return response.json();
    throw new Error(`the edge refused /admin/v1/${path}: ${response.status} ${await response.text()}`);
  }
  const keys = new Map<Account, string>([[GREEDY, stack.apiKey]]);
  for (const account of QUIET) {
    await admin("POST", "accounts", { name: account });
    keys.set(account, MadeKeySchema.parse(await admin("POST", "keys", { account, name: "soak" })).key);
  }
  for (const account of accounts) await admin("PATCH", `accounts/${account}`, { retention_s: RETENTION_S });
  return keys;
}
