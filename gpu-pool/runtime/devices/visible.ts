/** Which of a host's GPUs this pool may use. */
import type { KnownCard } from "./known-cards.ts";

/**
 * Those that the value of CUDA_VISIBLE_DEVICES names, in its order; all when it is not set. Numbers are nvidia-smi's.
 * Source: CUDA C Programming Guide, "CUDA Environment Variables": ids may be cut short, and an unknown one hides all
 * that come behind it. `numbered`: which uuid a number stands for, from one look to the next. When a card is lost the
 * others may be numbered anew, and another pool's card would be taken for this one's.
 */
export function visibleOf(
  found: readonly KnownCard[],
  list: string | undefined,
  numbered = new Map<string, string>(),
): KnownCard[] {
  if (list === undefined) return [...found];
  // One that has no number says that the others may have other cards' numbers.
  if (found.every(({ id }) => isNumber(id)))
    for (const { id, uuid } of found) if (!numbered.has(id)) numbered.set(id, uuid);
  const visible: KnownCard[] = [];
  for (const entry of list.split(",").map((one) => one.trim())) {
    if (entry.startsWith("MIG-")) {
      visible.push(migDevice(entry));
      continue;
    }
    const named = numbered.get(entry);
    const [only, ...others] = found.filter(({ uuid, id }) => {
      if (named !== undefined) return uuid === named;
      return isNumber(entry) ? id === entry : entry.startsWith("GPU-") && uuid.startsWith(entry);
    });
    if (only === undefined || others.length > 0) break;
    visible.push(only);
  }
  return visible;
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
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
