/** Who calls `/kafka`, and which topics they may touch: users of `KAFKA_USERS`, and pools by their token. */
import * as z from "zod";
import { priorities } from "../../contract/prediction.ts";
import { jobTopic } from "../../contract/job.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Env } from "../../env.ts";
import type { PoolIdentity } from "../../fleet/types.ts";

/** The user name that goes with a pool token as the password. */
export const POOL_USER = "pool";

export type IdentifyPool = (env: Env, token: string) => Promise<PoolIdentity | null>;

export type Principal = {
  /** Names the credentials; an instance belongs to those that made it. */
  name: string;
  /** The lanes of a pool; null for a user. A pool may consume the job topics of its lanes, nothing else. */
  lanes: string[] | null;
  mayProduce(topic: string): boolean;
  mayConsume(topic: string): boolean;
  mayCreate(topic: string): boolean;
};

const UserSchema = z.object({
  username: z.string().min(1),
  password: z.string().min(8),
  /** Prefixes of topics; "" and "*" stand for all. */
  produce: z.array(z.string()).default([]),
  consume: z.array(z.string()).default([]),
  create: z.boolean().default(false),
});
const UsersSchema = z.array(UserSchema);
type User = z.infer<typeof UserSchema>;

let parsed: { text: string; users: User[] } = { text: "", users: [] };
const digests = new WeakMap<User, Promise<Uint8Array>>();

/**
 * The caller of a request by its `Authorization: Basic`, or by the query's user and password. Throws `not_found` while
 * no users are set, so that an unused door doesn't show, and `unauthenticated` for wrong credentials.
 */
export async function authenticate(
  env: Env,
  credentials: { username: string; password: string } | null,
  identifyPool: IdentifyPool,
): Promise<Principal> {
  const users = usersOf(env.KAFKA_USERS);
  if (credentials !== null) {
    const user = await matchUser(users, credentials);
    if (user !== null) return userPrincipal(user);
    const pool = credentials.username === POOL_USER ? await identifyPool(env, credentials.password) : null;
    if (pool !== null) return poolPrincipal(pool);
  }
  if (users.length === 0) throw new EdgeplaneError("not_found", "There is nothing at this address.");
  throw new EdgeplaneError(
    "unauthenticated",
    "Wrong or missing credentials: send `Authorization: Basic` with a user of KAFKA_USERS, or `pool` and a pool token.",
    { headers: { "WWW-Authenticate": 'Basic realm="kafka", charset="UTF-8"' } },
  );
}

/** The credentials of a Basic header; null when it has none. */
export function basicCredentials(header: string | undefined): { username: string; password: string } | null {
  const match = /^Basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(header ?? "");
  if (match === null) return null;
  try {
    const bytes = Uint8Array.from(atob(match[1] ?? ""), (char) => char.charCodeAt(0));
    const text = new TextDecoder().decode(bytes);
    const colon = text.indexOf(":");
    return colon === -1 ? null : { username: text.slice(0, colon), password: text.slice(colon + 1) };
  } catch {
    return null;
  }
}

function usersOf(text: string | undefined): User[] {
  if (text === undefined || text.trim() === "") return [];
  if (parsed.text !== text) parsed = { text, users: parseUsers(text) };
  return parsed.users;
}

function parseUsers(text: string): User[] {
  try {
    return UsersSchema.parse(JSON.parse(text));
  } catch (error) {
    const issues = error instanceof z.ZodError ? z.prettifyError(error) : "it is not JSON";
    console.error(`KAFKA_USERS is not valid, so /kafka has no users: ${issues}`);
    return [];
  }
}

/** Compares with every user, each in the same time, so that the time taken tells nothing. */
async function matchUser(users: readonly User[], given: { username: string; password: string }): Promise<User | null> {
  const presented = await digest(given);
  let found: User | null = null;
  for (const user of users) {
    const known = digests.get(user) ?? digest(user);
    digests.set(user, known);
    const expected = await known;
    let difference = 0;
    for (let index = 0; index < expected.length; index++)
      difference |= (expected[index] ?? 0) ^ (presented[index] ?? 0);
    if (difference === 0) found = user;
  }
  return found;
}

async function digest(pair: { username: string; password: string }): Promise<Uint8Array> {
  const bytes = new TextEncoder().encode(JSON.stringify([pair.username, pair.password]));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function userPrincipal(user: User): Principal {
  const covers = (prefixes: readonly string[], topic: string): boolean =>
    prefixes.some((prefix) => topic.startsWith(prefix.replace(/\*$/, "")));
  const mayProduce = (topic: string): boolean => covers(user.produce, topic);
  const mayConsume = (topic: string): boolean => covers(user.consume, topic);
  return {
    name: `user:${user.username}`,
    lanes: null,
    mayProduce,
    mayConsume,
    mayCreate: (topic) => user.create && (mayProduce(topic) || mayConsume(topic)),
  };
}

function poolPrincipal(pool: PoolIdentity): Principal {
  const topics = new Set(pool.lanes.flatMap((lane) => priorities.map((priority) => jobTopic(lane, priority))));
  return {
    name: `pool:${pool.poolTokenId}`,
    lanes: pool.lanes,
    mayProduce: () => false,
    mayConsume: (topic) => topics.has(topic),
    mayCreate: () => false,
  };
}
