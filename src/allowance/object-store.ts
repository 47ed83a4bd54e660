/** Allowances in Durable Objects, one a subject. */
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import type { AllowanceStore } from "./types.ts";

export function createObjectStore(env: Pick<Env, "ALLOWANCE">): AllowanceStore {
  return {
    take: async (subject, groups) => callObject(async () => objectNamed(env.ALLOWANCE, subject).take(groups)),
    settle: async (subject, settlements) =>
      callObject(async () => objectNamed(env.ALLOWANCE, subject).settle(settlements)),
  };
}
