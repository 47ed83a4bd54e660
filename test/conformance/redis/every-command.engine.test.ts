/**
 * Every command method of `@upstash/redis` through the Redis door, with a token that may do all and with one that is
 * kept to a prefix.
 */
import { Redis } from "@upstash/redis";
import { beforeEach, describe, expect, it } from "vitest";
import * as z from "zod";
import { hasRedis } from "../bridge/engines.ts";
import { arrays, elsewhere, keyed, later, notCommands, refused, seed, unkeyed } from "./every-command.ts";
import type { Case, Key } from "./every-command.ts";
import { FULL, PREFIXED, useRedisDoor } from "./fixture.ts";

const PREFIX = "p:";

describe.runIf(hasRedis)("every command of @upstash/redis", () => {
  const door = useRedisDoor(PREFIX);

  const k: Key = (name) => `${PREFIX}${name}`;
  /** Not pipelined by itself: there the client reads the answers of some commands before it looks for their errors. */
  const client = (token: string) =>
    new Redis({ url: `${door.url()}/redis`, token, retry: { retries: 0 }, enableAutoPipelining: false });
  const nameOf = ([method]: Case) => method;

  beforeEach(() => seed(door.native(), k));

  it("knows them all", () => {
    const methods = new Set<string>();
    const redis = client(FULL);
    for (let each: object | null = redis; each !== null && each !== Object.prototype;) {
      for (const name of Object.getOwnPropertyNames(each)) methods.add(name);
      const next: unknown = Object.getPrototypeOf(each);
      each = typeof next === "object" ? next : null;
    }
    const tested = new Set([...keyed, ...unkeyed, ...refused].map(nameOf));
    for (const [, ...one] of later) tested.add(nameOf(one));
    const untested = [...methods].filter((name) => !tested.has(name) && !notCommands.has(name) && !arrays.test(name));
    expect(untested.toSorted()).toEqual(elsewhere.toSorted());
  });

  it.each([...keyed, ...unkeyed])("%s", async (_method, call, expected) => {
    expect(await call(client(FULL), k)).toEqual(expected);
  });

  it.each(keyed)("%s, within a prefix and not outside it", async (_method, call, expected) => {
    expect(await call(client(PREFIXED), k)).toEqual(expected);
    await expect(call(client(PREFIXED), (name) => `other:${name}`)).rejects.toThrow(/NOPERM/);
  });

  it.each(unkeyed)("%s needs a token without a prefix, or shows nothing of others", async (method, call) => {
    await door.native().set("other:secret", "secret");
    const answer = await call(client(PREFIXED), k).catch((error: unknown) => String(error));
    const isHarmless = ["echo", "ping", "time", "scriptExists", "scriptLoad", "scan", "exec"].includes(method);
    if (isHarmless) expect(JSON.stringify(answer)).not.toContain("secret");
    else expect(answer).toMatch(/NOPERM/);
    expect(await door.native().get("other:secret")).toBe("secret");
  });

  it.each(later)("since Redis %s: %s", async (_since, method, call, expected) => {
    // By the command, and not by the version: Valkey has some of them, and says that it is Redis 7.2.
    const [known] = z.array(z.unknown()).parse(await door.native().command("INFO", method));
    const isThere = known !== null;
    for (const token of [FULL, PREFIXED]) {
      await seed(door.native(), k);
      const answer = await call(client(token), k).catch((error: unknown) => String(error));
      if (isThere) expect(answer).toEqual(expected);
      else expect(answer).toMatch(/ERR unknown command/);
    }
    if (isThere) await expect(call(client(PREFIXED), (name) => `other:${name}`)).rejects.toThrow(/NOPERM/);
  });

  it.each(refused)("%s is refused", async (_method, call) => {
    await expect(call(client(FULL), k)).rejects.toThrow(/NOPERM/);
  });

  it("says of commands of modules, and of Upstash's own, that the server doesn't know them", async () => {
    const redis = client(FULL);
    for (const call of [
      () => redis.json.set(k("json"), "$", { a: 1 }),
      () => redis.json.get(k("json")),
      () => redis.arset(k("array"), 0, "a"),
      () => redis.arget(k("array"), 0),
    ]) {
      await expect(call()).rejects.toThrow(/ERR unknown command/);
    }
  });
});
