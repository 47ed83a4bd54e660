/** JWTs at the Worker's door. */
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { beforeAll, expect, it } from "vitest";
import type { Env } from "../../src/env.ts";
import { admin, callJson, testEnv } from "./edge-harness.ts";

const issuer = "https://login.example.com/";
const env = {
  SETTINGS: { getByName: () => testEnv.SETTINGS.getByName("settings of jwt") } as unknown as Env["SETTINGS"],
};
let own: CryptoKeyPair;
beforeAll(async () => {
  own = await generateKeyPair("ES256", { extractable: true });
  await admin("/accounts", { name: "tokened" });
  const jwks = { keys: [{ ...(await exportJWK(own.publicKey)), kid: "own" }] };
  const login = { name: "login", issuer, audience: "edgeplane", jwks, accountClaim: "org", scopes: ["account:read"] };
  const settings = { plugins: { "api-key": {}, jwt: { config: { issuers: [login] } } } };
  const operator = testEnv.ADMIN_KEY ?? "";
  const { status } = await callJson("/admin/v1/settings", { key: operator, env, body: { settings, why: "a test" } });
  if (status !== 201) throw new Error(`the settings were refused with ${status}`);
});

async function account(key: CryptoKey, claims: object = {}) {
  const now = Math.floor(Date.now() / 1000);
  const token = await new SignJWT({
    iss: issuer,
    aud: "edgeplane",
    sub: "ada",
    org: "tokened",
    exp: now + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: "ES256", kid: "own" })
    .sign(key);
  return callJson("/v1/account", { key: token, env });
}

it("lets in whom a token names, and no forged or expired one", async () => {
  expect(await account(own.privateKey)).toMatchObject({ status: 200, body: { username: "tokened" } });
  const forger = await generateKeyPair("ES256");
  expect(await account(forger.privateKey)).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
  expect(await account(own.privateKey, { exp: 1 })).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
});

it("keeps a token to its scopes", async () => {
  expect(await account(own.privateKey, { scope: "models:read" })).toMatchObject({
    status: 403,
    body: { code: "forbidden" },
  });
});
