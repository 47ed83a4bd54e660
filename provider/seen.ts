/** What a provider's list says of the machines that are ours. Pure. */
import type { ProviderMachine } from "../src/contract/provider.ts";
import type { Names } from "./names.ts";
import type { Seen } from "./provider.ts";

/** Of two of one name the one that has come further is kept, then the older one. */
const RANK: Record<Seen["state"], number> = { running: 0, booting: 1, creating: 2, stopping: 3, ended: 4 };

export function ownMachines(seen: readonly Seen[], names: Names): Seen[] {
  return seen.filter(({ name }) => names.machineOf(name) !== null);
}

/** One machine for each id, and those that are there twice. */
export function choose(own: readonly Seen[], names: Names): { kept: Map<string, Seen>; spare: Seen[] } {
  const kept = new Map<string, Seen>();
  const spare: Seen[] = [];
  const inOrder = [...own].sort((a, b) => RANK[a.state] - RANK[b.state] || a.createdAtMs - b.createdAtMs);
  for (const seen of inOrder) {
    const machine = names.machineOf(seen.name);
    if (machine === null) continue;
    if (kept.has(machine)) spare.push(seen);
    else kept.set(machine, seen);
  }
  return { kept, spare };
}

/**
 * What the edge is told of machines: what the list showed, and what the provider has acknowledged since. What has ended
 * is not among them.
 */
export function machinesOf(from: {
  own: readonly Seen[];
  names: Names;
  isReturned: (providerId: string) => boolean;
  offerOf: (machine: string) => string | null;
  unlisted: readonly { machine: string; providerId: string; offer: string | null; createdAtMs: number }[];
}): ProviderMachine[] {
  const listed = from.own.flatMap((seen): ProviderMachine[] => {
    if (seen.state === "ended") return [];
    const machine = from.names.machineOf(seen.name);
    const offer = seen.offer ?? (machine === null ? null : from.offerOf(machine));
    const state = from.isReturned(seen.providerId) ? "stopping" : seen.state;
    return [{ ...seen, machine, offer, state }];
  });
  const ids = new Set(listed.map(({ providerId }) => providerId));
  const unlisted = from.unlisted
    .filter(({ providerId }) => !ids.has(providerId))
    .map(({ machine, providerId, offer, createdAtMs }): ProviderMachine => {
      return { machine, providerId, name: from.names.nameOf(machine), offer, state: "creating", createdAtMs };
    });
  return [...listed, ...unlisted];
}
