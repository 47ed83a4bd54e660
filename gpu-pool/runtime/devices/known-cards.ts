/**
 * The cards that `nvidia-smi` has named so far. One that it names no more (it hung, its list ended in the middle, or
 * the card fell off the bus) stays known and is fenced: nothing new is put on it until it is named again. A card that
 * is missing is awaited for a while, as the next look may find it; one that stays away is lost.
 *
 *   named ── not in the list ──▶ awaited ── AWAITED_MS later ──▶ lost
 *     ▲──────── named again ───────┴───────────────────────────────┘
 */
import type { CudaDevice, SmiReport } from "./nvidia-smi.ts";

const AWAITED_MS = 60_000;

type Card = { device: CudaDevice; missingSinceMs: number | null };

/** A card as it is now; `isAwaited`: it is missing, and may be back in a moment. */
export type KnownCard = CudaDevice & { isAwaited: boolean };

export class KnownCards {
  readonly #cards = new Map<string, Card>();

  /** Takes what was named now. Answers all that are known, in the order of their numbers. */
  named({ devices, problem }: SmiReport, nowMs: number): KnownCard[] {
    for (const device of devices) this.#cards.set(device.uuid, { device, missingSinceMs: null });
    const uuids = new Set(devices.map(({ uuid }) => uuid));
    const numbers = new Set(devices.map(({ id }) => id));
    const missing = Array.from(this.#cards.values()).flatMap((card) => {
      if (uuids.has(card.device.uuid)) return [];
      card.missingSinceMs ??= nowMs;
      const isAwaited = nowMs - card.missingSinceMs < AWAITED_MS;
      return [{ ...asMissing(card.device, problem, numbers), isAwaited }];
    });
    return [...devices.map((device) => ({ ...device, isAwaited: false })), ...missing].sort(byNumber);
  }
}

/** Cards that are left may have been numbered anew: what is missing goes by its uuid where another has its number. */
function asMissing(device: CudaDevice, problem: string | null, numbers: ReadonlySet<string>): CudaDevice {
  return {
    ...device,
    id: numbers.has(device.id) ? device.uuid : device.id,
    usedBytes: null,
    utilizationPercent: null,
    temperatureCelsius: null,
    powerWatts: null,
    problem: `GPU ${device.id} is missing: ${problem ?? "nvidia-smi does not name it any more"}`,
  };
}

/** What has no number stands behind those that have one. */
function byNumber(one: CudaDevice, other: CudaDevice): number {
  const [first, second] = [Number(one.id), Number(other.id)];
  if (Number.isNaN(first) || Number.isNaN(second)) return Number(Number.isNaN(first)) - Number(Number.isNaN(second));
  return first - second;
}
