/** The settings of `jwt`. */
import * as z from "zod";
import { PrioritySchema } from "../../src/contract/prediction.ts";
import { scopes } from "../kernel/phases.ts";

/** Signatures by a key of which only its owner has the secret part; none by a secret that is shared, and not `none`. */
const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
] as const;

const UrlSchema = z
  .string()
  .max(2000)
  .regex(/^https:\/\/\S+$|^http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?\/\S*$/, "is no https: address");
const claim = z.string().min(1).max(200);
const JwksSchema = z.looseObject({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(50),
});

const IssuerSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,31}$/)
      .meta({ description: "Lower-case letters, digits and hyphens; limits know its callers by it." }),
    issuer: z.string().min(1).max(2000).meta({ description: "What `iss` must be." }),
    audience: z.union([claim, z.array(claim).min(1).max(20)]).meta({ description: "What `aud` must have one of." }),
    jwksUrl: UrlSchema.optional().meta({ description: "Where its public keys are read." }),
    jwks: JwksSchema.optional().meta({ description: "Its public keys, in place of `jwksUrl`." }),
    algorithms: z
      .array(z.enum(algorithms))
      .min(1)
      .default([...algorithms]),
    account: z.string().min(1).max(64).optional().meta({ description: "The account of all its callers." }),
    accountClaim: claim.default("sub").meta({ description: "The claim that names the account, by id or name." }),
    accounts: z.record(z.string(), z.string()).default({}).meta({
      description:
        "Accounts by the value of that claim, and no others. Empty: the value is the account's own id or name.",
    }),
    scopesClaim: claim.default("scope").meta({ description: "A list, or a text with spaces." }),
    scopePrefix: z.string().max(100).default("").meta({ description: "What its scopes of this gateway begin with." }),
    scopes: z.array(z.enum(scopes)).default([]).meta({ description: "For tokens that have no such claim." }),
    modelsClaim: claim.optional().meta({ description: "A list of the models that the caller may run." }),
    priority: PrioritySchema.default("normal").meta({ description: "The highest that its callers may ask for." }),
  })
  .refine((one) => (one.jwksUrl === undefined) !== (one.jwks === undefined), "takes `jwksUrl` or `jwks`, one of them");
export type Issuer = z.output<typeof IssuerSchema>;

export const ConfigSchema = z.strictObject({
  issuers: z
    .array(IssuerSchema)
    .min(1)
    .max(20)
    .refine((all) => new Set(all.map(({ issuer }) => issuer)).size === all.length, "two have one `issuer`")
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, "two have one `name`"),
  clockToleranceS: z.number().int().min(0).max(300).default(5),
  cacheMs: z.number().int().min(0).max(10_000).default(10_000).meta({
    description: "How long an isolate goes by a token that it has checked; never longer than the token is valid.",
  }),
  jwksCacheMs: z.number().int().min(10_000).max(86_400_000).default(600_000).meta({
    description: "How long it goes by keys that it has read. A token with a new key has them read at once.",
  }),
});
