/**
 * Which models are on which machines of one class, and how many machines that takes: best-fit decreasing (D. S.
 * Johnson, 1973) over two sizes, a machine's time and its memory. A copy stays where it is as long as it fits there, so
 * that the same needs give the same places.
 */

/** What one model needs of the class. */
export type ModelNeed = {
  model: string;
  /** Its policy's wish, in machines. A fraction is a share of one machine's time. */
  machines: number;
  /** Machines that it keeps, those included, of those that are there: it rents none for it. */
  keptMachines: number;
  /** The same for work that can wait (`patience.ts`): it takes time that is spare, and rents nothing. */
  patientMachines: number;
  /** Of a machine's memory, by one copy. */
  memoryBytes: number;
  /** From another model on the machine to this one, and how long its predictions may wait. */
  swapS: number;
  targetS: number;
  /** Copies at least, and machines at most. */
  min: number;
  max: number;
};

/**
 * A machine that takes work or will; machines that drain are none. `models`: those that are, or will be, on it.
 * `unfit`: those whose set-up failed there; they need another.
 */
export type Host = { id: string; models: readonly string[]; unfit?: readonly string[] };

export type Placed = {
  /** `null`: a machine that is to be rented. */
  id: string | null;
  copies: { model: string; share: number }[];
};
export type Placement = {
  /** Machines that have a copy. Those of `hosts` that are missing here are needed by nobody. */
  machines: Placed[];
  /** Shares of machines that found no place, by model, and why. */
  unmet: { model: string; share: number; reason: "too_large" | "limit" }[];
};

type Copy = { need: ModelNeed; share: number };
type Bin = Placed & {
  had: ReadonlySet<string>;
  unfit: readonly string[];
  shareLeft: number;
  pinnedBytes: number;
  largestSwappedBytes: number;
};

/** A model that is swapped in within this share of its target needs memory only while it runs. */
const SWAP_SHARE = 0.25;
const ROUNDING = 1e-9;

/** `limit`: machines at most. `memoryBytes`: of one machine. */
export function place(
  needs: readonly ModelNeed[],
  hosts: readonly Host[],
  { limit, memoryBytes }: { limit: number; memoryBytes: number },
): Placement {
  const idle: Bin[] = hosts.map((host) => binOf(host.id, host.models, host.unfit));
  const used: Bin[] = [];
  const unmet: Placement["unmet"] = [];
  const miss = ({ need: { model }, share }: Copy, reason: "too_large" | "limit"): void => {
    unmet.push({ model, share, reason });
  };
  const take = (bin: Bin): void => {
    if (!used.includes(bin)) used.push(bin);
    if (idle.includes(bin)) idle.splice(idle.indexOf(bin), 1);
  };
  for (const copy of needs.flatMap(copiesOf).toSorted(bySize)) {
    if (copy.need.memoryBytes > memoryBytes) {
      miss(copy, "too_large");
      continue;
    }
    const bin =
      fitting(copy, [...used, ...idle], memoryBytes) ?? (used.length + idle.length < limit ? binOf(null, []) : null);
    const isWithin = bin !== null && (used.includes(bin) || used.length < limit);
    if (bin === null || !isWithin) {
      miss(copy, "limit");
      continue;
    }
    take(bin);
    put(copy, bin);
  }
  for (const copy of needs.flatMap(keptCopiesOf)) {
    const bin = fitting(copy, [...used, ...idle], memoryBytes);
    if (bin === null || (!used.includes(bin) && used.length >= limit)) continue;
    take(bin);
    put(copy, bin);
  }
  for (const need of needs) fill(need, used, memoryBytes);
  return { machines: used.map(({ id, copies }) => ({ id, copies })), unmet };
}

/** Whole machines first, then what is left of one; copies that only have to be there have no share. */
function copiesOf(need: ModelNeed): Copy[] {
  const machines = Math.min(need.machines, need.max);
  const count = Math.min(need.max, Math.max(need.min, Math.ceil(machines - ROUNDING)));
  return Array.from({ length: count }, (_, n) => ({ need, share: Math.min(1, Math.max(0, machines - n)) }));
}

/** Whole machines besides. */
function keptCopiesOf(need: ModelNeed): Copy[] {
  const count = Math.min(need.max, need.keptMachines) - copiesOf(need).length;
  return Array.from({ length: Math.max(0, count) }, () => ({ need, share: 1 }));
}

function bySize(a: Copy, b: Copy): number {
  return b.share - a.share || b.need.memoryBytes - a.need.memoryBytes || (a.need.model < b.need.model ? -1 : 1);
}

function binOf(id: string | null, models: readonly string[], unfit: readonly string[] = []): Bin {
  return { id, copies: [], had: new Set(models), unfit, shareLeft: 1, pinnedBytes: 0, largestSwappedBytes: 0 };
}

/** Where the model is already; else the machine that the copy fills best, one in use before one that could leave. */
function fitting({ need, share }: Copy, bins: readonly Bin[], memoryBytes: number): Bin | null {
  const rank = (bin: Bin): number =>
    (bin.had.has(need.model) ? 0 : 4) + (bin.copies.length > 0 ? 0 : 2) + Math.max(0, bin.shareLeft - share);
  const fits = bins.filter((bin) => bin.shareLeft >= share - ROUNDING && hasRoom(bin, need, memoryBytes));
  return fits.toSorted((a, b) => rank(a) - rank(b))[0] ?? null;
}

function hasRoom(bin: Bin, need: ModelNeed, memoryBytes: number): boolean {
  if (bin.unfit.includes(need.model) || bin.copies.some(({ model }) => model === need.model)) return false;
  const { pinnedBytes, largestSwappedBytes } = withCopy(bin, need);
  return pinnedBytes + largestSwappedBytes <= memoryBytes;
}

function withCopy({ pinnedBytes, largestSwappedBytes }: Bin, { memoryBytes, swapS, targetS }: ModelNeed) {
  return swapS <= SWAP_SHARE * targetS
    ? { pinnedBytes, largestSwappedBytes: Math.max(largestSwappedBytes, memoryBytes) }
    : { pinnedBytes: pinnedBytes + memoryBytes, largestSwappedBytes };
}

function put({ need, share }: Copy, bin: Bin): void {
  Object.assign(bin, withCopy(bin, need));
  bin.shareLeft -= share;
  bin.copies.push({ model: need.model, share });
}

/** Gives a model's patient work the time that is spare: first where the model is, then where it fits. */
function fill(need: ModelNeed, used: readonly Bin[], memoryBytes: number): void {
  let left = need.patientMachines;
  const own = used.filter(({ copies }) => copies.some(({ model }) => model === need.model));
  for (const bin of [...own, ...used.filter((bin) => !own.includes(bin))]) {
    const share = Math.min(left, Math.max(0, bin.shareLeft));
    if (share <= ROUNDING) continue;
    const copy = bin.copies.find(({ model }) => model === need.model);
    if (copy === undefined && !hasRoom(bin, need, memoryBytes)) continue;
    if (copy === undefined) put({ need, share }, bin);
    else {
      copy.share += share;
      bin.shareLeft -= share;
    }
    left -= share;
  }
}
