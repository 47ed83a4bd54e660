/** Which of a host's GPUs this pool may use. */
import type { KnownCard } from "./known-cards.ts";

/**
 * Those that the value of CUDA_VISIBLE_DEVICES names, in its order; all when it is not set. Numbers are nvidia-smi's.
 * Source: CUDA C Programming Guide, "CUDA Environment Variables": ids may be cut short, and an unknown one hides all
 * that come behind it.
 */
export function visibleOf(found: readonly KnownCard[], list: string | undefined): KnownCard[] {
  if (list === undefined) return [...found];
  const visible: KnownCard[] = [];
  for (const entry of list.split(",").map((one) => one.trim())) {
    if (entry.startsWith("MIG-")) {
      visible.push(migDevice(entry));
      continue;
    }
    const isNumber = /^\d+$/.test(entry);
    const [only, ...others] = found.filter(({ uuid, id }) =>
      isNumber ? id === entry : entry.startsWith("GPU-") && uuid.startsWith(entry),
    );
    if (only === undefined || others.length > 0) break;
    visible.push(only);
  }
  return visible;
}

/** A part of a card, of which the query of whole cards says nothing. */
function migDevice(id: string): KnownCard {
  return {
    id,
    uuid: id,
    name: id,
    memoryBytes: null,
    usedBytes: null,
    utilizationPercent: null,
    temperatureCelsius: null,
    powerWatts: null,
    uncorrectedEccErrors: null,
    problem: null,
    isAwaited: false,
  };
}
