/**
 * Names of machines at a provider: a prefix and the edge's id. What isn't named so is somebody else's, and is never
 * touched. The prefix is `edgeplane-` unless an entry says otherwise: of two gateways that rent at one account, each
 * needs its own, or each would return what the other rented.
 */
import { MachineIdSchema } from "../src/contract/provider.ts";

export type Names = {
  nameOf(machine: string): string;
  /** The edge's id in a name; null: it isn't one of ours. */
  machineOf(name: string): string | null;
};

export function namesWith(prefix: string): Names {
  return {
    nameOf: (machine) => `${prefix}${machine}`,
    machineOf(name) {
      if (!name.startsWith(prefix)) return null;
      return MachineIdSchema.safeParse(name.slice(prefix.length)).data ?? null;
    },
  };
}
