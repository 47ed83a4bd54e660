/**
 * What one user of `/kafka` may have: topics over all brokers; groups and instances, which are the same at all that it
 * asks; bytes and offsets at each, whose disk and rows they bound. What the edge itself publishes has no quota:
 * predictions wait for it.
 */
import { numericVar } from "../contract/numeric-vars.ts";
import type { Env } from "../env.ts";

export type UserQuotas = {
  /** Topics that it has made, and what their records take. */
  topics: number;
  bytes: number;
  /** Groups in which it consumes at a time, and its instances in all of them. */
  groups: number;
  instances: number;
  /** Committed offsets that are stored: one a group and partition. */
  offsets: number;
};

export function readUserQuotas(env: Partial<Env>): UserQuotas {
  return {
    topics: numericVar(env, "LOG_USER_TOPICS"),
    bytes: numericVar(env, "LOG_USER_BYTES"),
    groups: numericVar(env, "LOG_USER_GROUPS"),
    instances: numericVar(env, "LOG_USER_INSTANCES"),
    offsets: numericVar(env, "LOG_USER_OFFSETS"),
  };
}
