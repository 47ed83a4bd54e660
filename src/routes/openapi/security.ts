/** How each kind of access is shown in the document. */
import type { ZodOpenApiSecuritySchemeObject } from "zod-openapi";
import type { ErrorCode } from "../../contract/errors.ts";
import type { Access } from "../access.ts";

type Requirement = Record<string, string[]>;

export const securitySchemes: Record<string, ZodOpenApiSecuritySchemeObject> = {
  apiKey: { type: "http", scheme: "bearer", description: "An API key, `ep_…`. `Authorization: Token ep_…` works too." },
  operatorKey: { type: "http", scheme: "bearer", description: "The operator's key, the secret `ADMIN_KEY`." },
  providerToken: { type: "http", scheme: "bearer", description: "A provider service's token, `eps_…`." },
  metricsToken: { type: "http", scheme: "bearer", description: "A provider token of the scope `metrics`, `eps_…`." },
  poolToken: { type: "http", scheme: "bearer", description: "A pool's token, `epp_…`." },
  signedLink: {
    type: "apiKey",
    in: "query",
    name: "signature",
    description: "The signature of a link that an answer named; with `expires`. Follow links as they are.",
  },
};

/** Who may call, as a list of alternatives; a scope stands as the role that a key must have. */
export function securityOf(access: Access): Requirement[] {
  switch (access) {
    case "anyone":
      return [];
    case "operator":
      return [{ operatorKey: [] }];
    case "pool":
      return [{ poolToken: [] }];
    case "provider":
      return [{ providerToken: [] }];
    case "metrics":
      return [{ metricsToken: [] }, { operatorKey: [] }];
    case "link":
      return [{ signedLink: [] }];
    case "link_or_key":
      return [{ signedLink: [] }, { apiKey: ["predictions:read"] }];
    default:
      return [{ apiKey: [access] }];
  }
}

/** What a caller is refused with who may not call. */
export function refusalsOf(access: Access): readonly ErrorCode[] {
  switch (access) {
    case "anyone":
      return [];
    case "operator":
      return ["unauthenticated", "not_found"];
    case "pool":
      return ["unauthenticated"];
    case "provider":
      return ["unauthenticated", "forbidden"];
    case "metrics":
      return ["unauthenticated", "forbidden", "not_found"];
    case "link":
      return ["forbidden"];
    default:
      return ["unauthenticated", "forbidden", "guard_unavailable"];
  }
}
