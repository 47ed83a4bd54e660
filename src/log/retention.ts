/** How long and how much the embedded log keeps, per partition. */
import type { Env } from "../env.ts";
import type { Retention } from "./store.ts";

const DEFAULT_MS = 7 * 86_400_000;
const DEFAULT_BYTES = 64 * 1_048_576;

/** From `LOG_RETENTION_MS` and `LOG_RETENTION_BYTES` (of one partition). */
export function readRetention(env: Pick<Env, "LOG_RETENTION_MS" | "LOG_RETENTION_BYTES">): Retention {
  return {
    ms: positive(env.LOG_RETENTION_MS) ?? DEFAULT_MS,
    bytes: positive(env.LOG_RETENTION_BYTES) ?? DEFAULT_BYTES,
  };
}

function positive(text: string | undefined): number | null {
  const value = Number(text ?? "");
  return Number.isFinite(value) && value > 0 ? value : null;
}
