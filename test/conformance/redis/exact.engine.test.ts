/**
 * The Redis door changes nothing on the way: bytes, integers beyond 2^53, functions, and the token for reading one's
 * own writes.
 */
import { Redis } from "@upstash/redis";
import { beforeEach, describe, expect, it } from "vitest";
import { hasRedis } from "../bridge/engines.ts";
import { FULL, PREFIXED, useRedisDoor } from "./fixture.ts";

const READER = "reader-token-0123456789";
const HUGE = "106242075399214372653";
/** 2^53 and the two after it: JavaScript's numbers can't hold the first of these. */
const BEYOND = ["9007199254740993", "9007199254740994", "-9007199254740993"] as const;
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const LIBRARY = "#!lua name=lib\nredis.register_function('double', function(keys, args) return args[1] * 2 end)";

describe.runIf(hasRedis)("Redis door: exact", () => {
  const { native, url, client } = useRedisDoor("p:", {
    tokens: [{ token: FULL }, { token: PREFIXED, keyPrefix: "p:" }, { token: READER, readOnly: true }],
  });

  beforeEach(async () => {
    await native().flushall();
    await native().function("FLUSH");
  });

  async function send(
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    init: { method?: string; token?: string } = {},
  ) {
    const response = await fetch(`${url()}/redis${path}`, {
      method: init.method ?? "POST",
      headers: { authorization: `Bearer ${init.token ?? FULL}` },
      body,
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  describe("a raw body is bytes", () => {
    const bytes = new Uint8Array(everyByte);

    it.each([
      ["/set/k", "POST"],
      ["/set/k?EX=100", "POST"],
      ["/set/k", "PUT"],
      ["/append/k", "POST"],
    ])("%s by %s stores them", async (path, method) => {
      expect(await send(path, bytes, { method })).toMatchObject({ status: 200 });
      expect(await native().getBuffer("k")).toEqual(everyByte);
    });

    it("in lists, hashes, and as a key", async () => {
      await send("/rpush/l/first", bytes);
      await send("/hset/h/field", bytes);
      expect(await native().lindexBuffer("l", 1)).toEqual(everyByte);
      expect(await native().hgetBuffer("h", "field")).toEqual(everyByte);
      await native().set(everyByte, "by its bytes");
      expect((await send("/get", bytes)).text).toBe('{"result":"by its bytes"}');
    });

    it("and a key in it must begin with the token's prefix", async () => {
      await native().mset("p:own", "mine", "other", "theirs");
      expect((await send("/get", "p:own", { token: PREFIXED })).text).toBe('{"result":"mine"}');
      for (const key of ["other", Buffer.from([0xff, 0x70, 0x3a])]) {
        const refused = await send("/del", typeof key === "string" ? key : new Uint8Array(key), { token: PREFIXED });
        expect(refused).toMatchObject({ status: 403, text: expect.stringContaining("NOPERM") as unknown });
      }
      expect((await send("/eval", "return redis.call('GET','other')", { token: PREFIXED })).status).toBe(403);
      expect((await send("/xread?0=&STREAMS=p:s&$=", "BLOCK", { token: PREFIXED })).status).toBe(403);
    });

    it("and JSON that is no UTF-8 is refused", async () => {
      const broken = new Uint8Array([...Buffer.from('["SET","k","'), 0xff, ...Buffer.from('"]')]);
      expect(await send("", broken)).toMatchObject({
        status: 400,
        text: expect.stringContaining("not UTF-8") as unknown,
      });
      expect(await native().exists("k")).toBe(0);
    });
  });

  describe("an integer keeps its digits", () => {
    it("in requests, alone and within an object, in pipelines and transactions", async () => {
      await send("", `["SET","k",${HUGE}]`);
      await send("", `["SET","object",{"id":${HUGE},"list":[1.5,${HUGE}]}]`);
      await send("/pipeline", `[["RPUSH","l",${HUGE},-${HUGE},0.12345678901234567890,1e400]]`);
      await send("/multi-exec", `[["RPUSH","l",1.5,42,true,null]]`);
      expect(await native().get("k")).toBe(HUGE);
      expect(await native().get("object")).toBe(`{"id":${HUGE},"list":[1.5,${HUGE}]}`);
      expect(await native().lrange("l", 0, -1)).toEqual([
        ...[HUGE, `-${HUGE}`, "0.12345678901234567890", "1e400"],
        ...["1.5", "42", "true", "null"],
      ]);
    });

    it.each(BEYOND)("in replies: %s", async (digits) => {
      await native().set("n", digits);
      expect((await send("", '["INCRBY","n",0]')).text).toBe(`{"result":${digits}}`);
      expect((await send("/pipeline", '[["INCRBY","n",0],["GET","n"]]')).text).toBe(
        `[{"result":${digits}},{"result":"${digits}"}]`,
      );
      expect((await send("/multi-exec", '[["INCRBY","n",0]]')).text).toBe(`[{"result":${digits}}]`);
    });

    it("in replies of scripts, however deep", async () => {
      // A power of two: Lua's numbers are doubles, and JavaScript would write it with zeros at its end.
      const power = String(2n ** 60n);
      await native().set("n", power);
      const script = ["EVAL", "return {1, {redis.call('INCRBY', KEYS[1], 0)}}", "1", "n"];
      expect((await send("", JSON.stringify(script))).text).toBe(`{"result":[1,[${power}]]}`);
      expect((await send("/multi-exec", JSON.stringify([script]))).text).toBe(`[{"result":[1,[${power}]]}]`);
    });

    it("and small ones are numbers as ever", async () => {
      expect(
        (await send("/pipeline", '[["INCR","n"],["DECRBY","n",5],["TTL","none"],["EVAL","return {1,{2,-3}}",0]]')).text,
      ).toBe('[{"result":1},{"result":-4},{"result":-2},{"result":[1,[2,-3]]}]');
    });
  });

  describe("functions", () => {
    it("run for a token without a prefix", async () => {
      const redis = client(FULL);
      expect(await redis.functions.load({ code: LIBRARY })).toBe("lib");
      expect(await redis.functions.call("double", [], ["21"])).toBe(42);
      expect(await redis.functions.list()).toMatchObject([{ libraryName: "lib", functions: [{ name: "double" }] }]);
      expect(await redis.functions.stats()).toMatchObject({ engines: { LUA: { librariesCount: 1 } } });
      expect(await client(READER).functions.list()).toHaveLength(1);
      await expect(client(READER).functions.load({ code: LIBRARY, replace: true })).rejects.toThrow(
        /NOPERM.*only read/,
      );
      expect(await redis.functions.delete("lib")).toBe("OK");
      expect(await redis.functions.flush()).toBe("OK");
    });

    it("are refused to a token with a prefix, and it is told why", async () => {
      await client(FULL).functions.load({ code: LIBRARY });
      const redis = client(PREFIXED);
      for (const call of [
        async () => redis.functions.call("double", ["p:k"], ["1"]),
        async () => redis.functions.list(),
        async () => redis.functions.load({ code: LIBRARY, replace: true }),
        async () => redis.functions.flush(),
      ]) {
        await expect(call()).rejects.toThrow(/NOPERM a token with a key prefix may not run .*could reach any key/);
      }
    });

    it("can't be ended or replaced as a whole, which is the operator's", async () => {
      for (const body of [["FUNCTION", "KILL"], ["FUNCTION", "RESTORE", "x"], ["FUNCTION", "DUMP"], ["FUNCTION"]]) {
        expect((await send("", JSON.stringify(body))).status).toBe(403);
      }
    });
  });

  it("answers with a sync token that the client takes over, a new one each time", async () => {
    const seen = new Set<string>();
    for (const [path, body] of [
      ["", '["SET","k",1]'],
      ["", '["GET","k"]'],
      ["/pipeline", '[["GET","k"]]'],
      ["/multi-exec", '[["GET","k"]]'],
    ] as const) {
      seen.add((await send(path, body)).headers.get("upstash-sync-token") ?? "");
    }
    expect(seen.size).toBe(4);
    expect(seen).not.toContain("");
    const redis = new Redis({ url: `${url()}/redis`, token: FULL });
    await redis.set("k", "v");
    expect(redis.readYourWritesSyncToken).not.toBe("");
  });
});
