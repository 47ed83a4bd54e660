/** The services that plugins may have, made of the bindings. */
import type { Services } from "../../plugins/kernel/services.ts";
import { allowanceService } from "../allowance/service.ts";
import type { Env } from "../env.ts";
import { createArtifacts } from "./artifacts.ts";
import { createKeyDirectory } from "../registry/api-keys.ts";

export function createServices(env: Env): Services {
  return {
    keys: createKeyDirectory(env),
    artifacts: createArtifacts(env.BLOBS),
    allowance: allowanceService(env),
  };
}
