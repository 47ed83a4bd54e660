/** Allowances in Durable Objects, one a subject. */
import { callObject, objectNamed } from "../object-calls.ts";
import type { AllowanceStore, Group, GroupAnswer, Settlement } from "./types.ts";

type Counting = Rpc.DurableObjectBranded & {
  take(groups: Group[]): GroupAnswer[];
  settle(settlements: Settlement[]): void | Promise<void>;
};

export function createObjectStore(objects: DurableObjectNamespace<Counting>): AllowanceStore {
  return {
    take: async (subject, groups) => callObject(async () => objectNamed(objects, subject).take(groups)),
    settle: async (subject, settlements) => callObject(async () => objectNamed(objects, subject).settle(settlements)),
  };
}
