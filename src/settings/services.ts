/** The services that plugins may have, made of the bindings. */
import { waitUntil } from "cloudflare:workers";
import type { Services } from "../../plugins/kernel/services.ts";
import { auditService } from "../audit/current.ts";
import { allowanceService } from "../allowance/isolate-service.ts";
import type { Env } from "../env.ts";
import { createLaneService } from "../lane/outlooks.ts";
import { createModelService } from "../shard/model-service.ts";
import { responseService } from "../responses/service.ts";
import { createArtifacts } from "./artifacts.ts";
import { createAccountDirectory } from "../registry/accounts.ts";
import { createBudgetDirectory } from "../registry/budgets.ts";
import { createKeyDirectory } from "../registry/api-keys.ts";

/** Of secrets that plugins may ask for by name. */
const SECRET_PREFIX = "PLUGIN_";

export function createServices(env: Env): Services {
  return {
    keys: createKeyDirectory(env),
    accounts: createAccountDirectory(env.DB),
    artifacts: createArtifacts(env.BLOBS),
    allowance: allowanceService(env, (work) => waitUntil(work)),
    budgets: createBudgetDirectory(env.DB),
    lanes: createLaneService(env),
    models: createModelService(env),
    responses: responseService(env),
    audit: auditService(env),
    outbound: { fetch: (url, init) => fetch(url, init) },
    secrets: { get: (name) => pluginSecret(env, name) },
  };
}

function pluginSecret(env: Env, name: string): string {
  const value: unknown = name.startsWith(SECRET_PREFIX) ? Reflect.get(env, name) : undefined;
  if (typeof value === "string" && value !== "") return value;
  throw new Error(`the deployment has no secret ${name}: \`npx wrangler secret put ${name}\``);
}
