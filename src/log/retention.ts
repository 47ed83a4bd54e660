/** How long and how much the embedded log keeps, per partition. */
import { numericVar } from "../contract/numeric-vars.ts";
import type { Env } from "../env.ts";
import type { Retention } from "./store.ts";

/** From `LOG_RETENTION_MS` and `LOG_RETENTION_BYTES` (of one partition). */
export function readRetention(env: Pick<Env, "LOG_RETENTION_MS" | "LOG_RETENTION_BYTES">): Retention {
  return { ms: numericVar(env, "LOG_RETENTION_MS"), bytes: numericVar(env, "LOG_RETENTION_BYTES") };
}
