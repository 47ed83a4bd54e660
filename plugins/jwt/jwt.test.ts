import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import type { JWK, JWTPayload } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { describePlugin } from "../kernel/conformance.ts";
import type { Services } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { jwt } from "./jwt.ts";

const ISSUER = "https://login.example.com/";
const base = {
  name: "login",
  issuer: ISSUER,
  audience: "edgeplane",
  jwksUrl: `${ISSUER}jwks.json`,
  accountClaim: "org",
};
const account = { accountId: "id-of-acme", accountName: "acme", retentionMs: 60_000, weight: 2 };

type Key = { kid: string; privateKey: CryptoKey; jwk: JWK };
async function makeKey(kid: string, alg = "ES256"): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

let [first, second, rsa]: Key[] = [];
beforeAll(async () => {
  [first, second, rsa] = await Promise.all([makeKey("first"), makeKey("second"), makeKey("rsa", "RS256")]);
});
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Changes = { [claim: string]: unknown };
const claims: JWTPayload = { sub: "ada", org: "acme", scope: "predictions:write openid models:read" };
async function sign(key: Key | undefined, changes: Changes = {}, header: object = {}): Promise<string> {
  if (key === undefined) throw new Error("there is no key");
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: ISSUER, aud: "edgeplane", iat: now, exp: now + 60, ...claims, ...changes };
  return new SignJWT(payload)
    .setProtectedHeader({ alg: String(key.jwk.alg), kid: key.kid, ...header })
    .sign(key.privateKey, { crit: { x: true } });
}

function world() {
  const published = { keys: [first, rsa] as (Key | undefined)[], status: 200, reads: 0, lookups: 0 };
  const services: Partial<Services> = {
    accounts: {
      find: async (name) => {
        published.lookups += 1;
        return name === "acme" || name === "id-of-acme" ? account : null;
      },
    },
    outbound: {
      fetch: async () => {
        published.reads += 1;
        return Response.json({ keys: published.keys.map((key) => key?.jwk) }, { status: published.status });
      },
    },
  };
  return { published, services };
}

async function open(changes: object = {}, { services } = world(), config: object = {}) {
  const settings = { issuers: [{ ...base, ...changes }], ...config };
  const snapshot = await buildSnapshot(1, [jwt], { jwt: { config: settings } }, services);
  return async (token: string) =>
    snapshot.hooks.authenticate[0]?.run({
      ...{ requestId: "r", method: "GET", path: "/", clientIp: null, principal: null },
      header: () => `Bearer ${token}`,
      headers: () => ({}),
    });
}

const refused = (message: string) => ({ verdict: "reject", code: "unauthenticated", message });
const NOT_VALID = refused("The token is not valid.");
const NO_ACCOUNT = refused("The token names no account of this gateway.");

describePlugin(jwt, {
  services: world().services,
  badConfigs: [
    {},
    { issuers: [] },
    { issuers: [{ ...base, jwksUrl: "http://login.example.com/jwks.json" }] },
    { issuers: [{ ...base, jwks: { keys: [{ kty: "EC" }] } }] },
    { issuers: [{ ...base, jwksUrl: undefined }] },
    { issuers: [{ ...base, algorithms: ["none"] }] },
    { issuers: [{ ...base, algorithms: ["HS256"] }] },
    { issuers: [base, base] },
  ],
});

describe("jwt", () => {
  it("lets in whom the token names, with what it may", async () => {
    const run = await open({ modelsClaim: "models", priority: "high" });
    expect(await run(await sign(first, { models: ["acme/echo"] }))).toMatchObject({
      verdict: "continue",
      subject: {
        principal: {
          ...account,
          credentialId: "jwt:login:ada",
          scopes: ["predictions:write", "models:read"],
          maxPriority: "high",
          models: ["acme/echo"],
        },
      },
    });
    expect(await run(await sign(rsa))).toMatchObject({ verdict: "continue" });
  });

  it.each([
    ["another issuer's key behind the same name", async () => sign({ ...(await makeKey("first")) }), NOT_VALID],
    ["a key that comes with the token", async () => signWithOwnKey(), NOT_VALID],
    ["no signature", async () => sign(first).then((token) => `${token.split(".").slice(0, 2).join(".")}.`), NOT_VALID],
    ["a changed text", async () => tampered(), NOT_VALID],
    ["`alg: none`", async () => Promise.resolve(unsecured()), NOT_VALID],
    ["a shared secret, which is the public key", async () => symmetric(), NOT_VALID],
    ["a time that is over", async () => sign(first, { exp: at(-6) }), refused("The token has expired.")],
    [
      "a time that is to come",
      async () => sign(first, { nbf: at(6) }),
      refused("The token's `nbf` doesn't hold here."),
    ],
    ["no end", async () => sign(first, { exp: undefined }), refused("The token's `exp` doesn't hold here.")],
    ["another audience", async () => sign(first, { aud: "shop" }), refused("The token's `aud` doesn't hold here.")],
    ["no audience", async () => sign(first, { aud: undefined }), refused("The token's `aud` doesn't hold here.")],
    ["no subject", async () => sign(first, { sub: undefined }), refused("The token has no `sub`.")],
    ["an account that isn't there", async () => sign(first, { org: "other" }), NO_ACCOUNT],
    ["an account that is no text", async () => sign(first, { org: ["acme"] }), NO_ACCOUNT],
    ["a critical header that nobody knows", async () => sign(first, {}, { crit: ["x"], x: 1 }), NOT_VALID],
  ] as [string, () => Promise<string>, object][])("refuses a token with %s", async (_what, make, verdict) => {
    expect(await (await open())(await make())).toEqual(verdict);
  });

  it("leaves other issuers' tokens, and what is none, to others", async () => {
    const run = await open();
    for (const token of [await sign(first, { iss: "https://other.example.com/" }), "a.b.c", "ep_x"]) {
      expect(await run(token)).toEqual({ verdict: "continue" });
    }
  });

  it("keeps claims to the accounts that the settings name", async () => {
    const run = await open({ accounts: { "tenant-7": "acme" } });
    expect(await run(await sign(first, { org: "tenant-7" }))).toMatchObject({ subject: { principal: account } });
    expect(await run(await sign(first, { org: "acme" }))).toEqual(NO_ACCOUNT);
    expect(await run(await sign(first, { org: "__proto__" }))).toEqual(NO_ACCOUNT);
    const fixed = await open({ account: "acme" });
    expect(await fixed(await sign(first, { org: "other" }))).toMatchObject({ subject: { principal: account } });
  });

  it("reads scopes from lists, with a prefix, and what holds where there are none", async () => {
    const run = await open({ scopePrefix: "edge/", scopes: ["models:read"] });
    const scopesOf = async (changes: Changes) => {
      const verdict = await run(await sign(first, changes));
      return verdict !== undefined && "subject" in verdict ? verdict.subject?.principal?.scopes : undefined;
    };
    expect(await scopesOf({ scope: ["edge/predictions:read", "models:write", 7] })).toEqual(["predictions:read"]);
    expect(await scopesOf({ scope: undefined })).toEqual(["models:read"]);
    expect(await scopesOf({ scope: "" })).toEqual([]);
  });

  it("takes a new key as soon as a token has it, and reads the keys again once in 10 seconds at most", async () => {
    const { published, services } = world();
    const run = await open({}, { published, services });
    expect((await run(await sign(first)))?.verdict).toBe("continue");
    published.keys = [second];
    vi.advanceTimersByTime(10_001);
    expect((await run(await sign(second)))?.verdict).toBe("continue");
    expect(published.reads).toBe(2);
    for (let count = 0; count < 20; count += 1) {
      expect(await run(await sign(rsa, {}, { kid: `unknown-${count}` }))).toEqual(NOT_VALID);
    }
    expect(published.reads).toBe(2);
    vi.advanceTimersByTime(10_001);
    expect(await run(await sign(first))).toEqual(NOT_VALID);
  });

  it("can't decide while the keys can't be read", async () => {
    const { published, services } = world();
    published.status = 503;
    const run = await open({}, { published, services });
    await expect(run(await sign(first))).rejects.toThrow();
  });

  it("checks a token once in 10 seconds, and goes by it no longer than it is valid", async () => {
    const { published, services } = world();
    const run = await open({}, { published, services });
    const token = await sign(first, { exp: at(4) });
    for (let count = 0; count < 3; count += 1) expect((await run(token))?.verdict).toBe("continue");
    expect(published.lookups).toBe(1);
    vi.advanceTimersByTime(10_000);
    expect(await run(token)).toEqual(refused("The token has expired."));
  });

  it("takes no algorithm that the settings leave out", async () => {
    const run = await open({ algorithms: ["ES256"] });
    expect((await run(await sign(first)))?.verdict).toBe("continue");
    expect(await run(await sign(rsa))).toEqual(NOT_VALID);
  });

  it("takes keys that stand in the settings", async () => {
    const run = await open({ jwksUrl: undefined, jwks: { keys: [first?.jwk] } });
    expect((await run(await sign(first)))?.verdict).toBe("continue");
    expect(await run(await sign(second))).toEqual(NOT_VALID);
  });
});

function at(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

async function tampered(): Promise<string> {
  const [head = "", , signature = ""] = (await sign(first)).split(".");
  const [, body = ""] = (await sign(first, { org: "acme", scope: "account:write" })).split(".");
  return [head, body, signature].join(".");
}

async function signWithOwnKey(): Promise<string> {
  const own = await makeKey("own");
  return sign(own, {}, { jwk: own.jwk, jku: "https://evil.example.com/jwks.json" });
}

function unsecured(): string {
  return new UnsecuredJWT({ ...claims, iss: ISSUER, aud: "edgeplane", exp: at(60) }).encode();
}

async function symmetric(): Promise<string> {
  const secret = new TextEncoder().encode(JSON.stringify(first?.jwk));
  return new SignJWT({ ...claims, iss: ISSUER, aud: "edgeplane", exp: at(60) })
    .setProtectedHeader({ alg: "HS256", kid: "first" })
    .sign(secret);
}
