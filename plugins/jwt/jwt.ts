/**
 * Authenticates `Authorization: Bearer <JWT>` (RFC 7519) of the issuers that the settings name, with `jose`: signature,
 * `iss`, `aud`, `exp`, `nbf`. The public keys are the issuer's JWKS (RFC 7517); a token whose key isn't among them has
 * them read again, once in 10 seconds at most. The header of a token chooses no key and no algorithm beyond these.
 */
import { createLocalJWKSet, createRemoteJWKSet, customFetch, decodeJwt, errors, jwtVerify } from "jose";
import type { JWTPayload, JWTVerifyGetKey } from "jose";
import { definePlugin } from "../kernel/define-plugin.ts";
import { proceed, scopes } from "../kernel/phases.ts";
import type { Call, Principal, Scope, Verdict } from "../kernel/phases.ts";
import type { AccountDirectory, Outbound } from "../kernel/services.ts";
import { createTtlCache } from "../kernel/ttl-cache.ts";
import { ConfigSchema } from "./config.ts";
import type { Issuer } from "./config.ts";

const BEARER = /^bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i;
const MAX_TOKEN_CHARS = 8192;
const MAX_SUBJECT_CHARS = 256;
/** A token with an unknown key has the keys read again, once in so long. */
const REREAD_MS = 10_000;
const FETCH_TIMEOUT_MS = 1500;
const MAX_CACHED = 10_000;
const MAX_CACHED_BYTES = 8 * 1_048_576;

type Trusted = Issuer & { keyOf: JWTVerifyGetKey };

export const jwt = definePlugin({
  name: "jwt",
  apiVersion: 1,
  config: ConfigSchema,
  phases: ["authenticate"],
  needs: ["accounts", "outbound"],
  after: ["api-key"],
  example: {
    issuers: [
      {
        name: "login",
        issuer: "https://login.example.com/",
        audience: "edgeplane",
        jwksUrl: "https://login.example.com/.well-known/jwks.json",
        accountClaim: "org",
      },
    ],
  },
  setup: ({ config, services: { accounts, outbound } }) => {
    const { clockToleranceS, cacheMs, jwksCacheMs } = config;
    const trusted = new Map(
      config.issuers.map((issuer): [string, Trusted] => [
        issuer.issuer,
        { ...issuer, keyOf: keysOf(issuer, outbound, jwksCacheMs) },
      ]),
    );
    const known = createTtlCache<Principal>(MAX_CACHED, { maxBytes: MAX_CACHED_BYTES, bytesOf: () => 500 });

    const check = async (call: Readonly<Call>, token: string, issuer: Trusted): Promise<Verdict<Call>> => {
      const payload = await verify(token, issuer, clockToleranceS);
      if (typeof payload === "string") return refuse(payload);
      const principal = await principalOf(payload, issuer, accounts);
      if (typeof principal === "string") return refuse(principal);
      known.set(token, principal, Math.min(cacheMs, (payload.exp ?? 0) * 1000 - Date.now()));
      return letIn(call, principal);
    };

    return {
      authenticate: (call) => {
        if (call.principal !== null) return proceed;
        const token = BEARER.exec(call.header("authorization") ?? "")?.[1];
        if (token === undefined || token.length > MAX_TOKEN_CHARS) return proceed;
        const principal = known.get(token);
        if (principal !== undefined) return letIn(call, principal);
        const issuer = trusted.get(issuerIn(token) ?? "");
        return issuer === undefined ? proceed : check(call, token, issuer);
      },
    };
  },
});

function keysOf({ jwks, jwksUrl }: Issuer, outbound: Outbound, cacheMaxAge: number): JWTVerifyGetKey {
  if (jwks !== undefined) return createLocalJWKSet(jwks);
  return createRemoteJWKSet(new URL(jwksUrl ?? ""), {
    cacheMaxAge,
    cooldownDuration: REREAD_MS,
    timeoutDuration: FETCH_TIMEOUT_MS,
    [customFetch]: (url, { headers, method, redirect, signal }) =>
      outbound.fetch(url, { method, redirect, signal, headers: Object.fromEntries(headers) }),
  });
}

/** What the token says that its issuer is, unchecked. */
function issuerIn(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** What the token says, or why it isn't valid. Throws when that can't be told, as the issuer's keys can't be read. */
async function verify(token: string, issuer: Trusted, clockTolerance: number): Promise<JWTPayload | string> {
  try {
    const { payload } = await jwtVerify(token, issuer.keyOf, {
      issuer: issuer.issuer,
      audience: issuer.audience,
      algorithms: issuer.algorithms,
      clockTolerance,
      requiredClaims: ["exp"],
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) return "The token has expired.";
    if (error instanceof errors.JWTClaimValidationFailed) return `The token's \`${error.claim}\` doesn't hold here.`;
    if (isOfToken(error)) return "The token is not valid.";
    throw error;
  }
}

/** Whether the token is to blame, and not what its keys were read from. */
function isOfToken(error: unknown): boolean {
  return [
    ...[errors.JWTInvalid, errors.JWSInvalid, errors.JWSSignatureVerificationFailed],
    ...[errors.JOSEAlgNotAllowed, errors.JOSENotSupported, errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys],
  ].some((kind) => error instanceof kind);
}

/** Who the caller is, or why nobody. */
async function principalOf(
  payload: JWTPayload,
  issuer: Issuer,
  accounts: AccountDirectory,
): Promise<Principal | string> {
  const { sub } = payload;
  if (sub === undefined || sub === "" || sub.length > MAX_SUBJECT_CHARS) return "The token has no `sub`.";
  const account = issuer.account ?? accountIn(payload[issuer.accountClaim], issuer.accounts);
  const found = account === null ? null : await accounts.find(account);
  if (found === null) return "The token names no account of this gateway.";
  const models = issuer.modelsClaim === undefined ? undefined : textsOf(payload[issuer.modelsClaim]);
  return {
    ...found,
    credentialId: `jwt:${issuer.name}:${sub}`,
    scopes: scopesOf(payload[issuer.scopesClaim], issuer),
    maxPriority: issuer.priority,
    ...(models === undefined ? {} : { models }),
  };
}

/** A claim can't reach beyond the accounts that the settings name, if they name any. */
function accountIn(claim: unknown, accounts: Issuer["accounts"]): string | null {
  if (typeof claim !== "string" || claim === "") return null;
  if (Object.keys(accounts).length === 0) return claim;
  return Object.hasOwn(accounts, claim) ? (accounts[claim] ?? null) : null;
}

function scopesOf(claim: unknown, { scopePrefix, scopes: usual }: Issuer): readonly Scope[] {
  if (claim === undefined) return usual;
  const granted = new Set(textsOf(claim));
  return scopes.filter((scope) => granted.has(scopePrefix + scope));
}

function textsOf(claim: unknown): string[] {
  if (typeof claim === "string") return claim.split(" ").filter((text) => text !== "");
  return Array.isArray(claim) ? claim.filter((text): text is string => typeof text === "string") : [];
}

function letIn(call: Readonly<Call>, principal: Principal): Verdict<Call> {
  return { verdict: "continue", subject: { ...call, principal } };
}

function refuse(message: string): Verdict<Call> {
  return { verdict: "reject", code: "unauthenticated", message };
}
