/** The services that plugins may have, made of the bindings. */
import type { Services } from "../../plugins/kernel/services.ts";
import type { Env } from "../env.ts";
import { createKeyDirectory } from "../registry/api-keys.ts";

export function createServices(env: Env): Services {
  return { keys: createKeyDirectory(env) };
}
