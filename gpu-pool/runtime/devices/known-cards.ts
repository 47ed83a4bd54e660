/**
 * The cards that `nvidia-smi` has named so far, and those that the driver has beside them. One that `nvidia-smi` names
 * no more, or never did (it hung, its list ended in the middle, or the card fell off the bus) is known and fenced:
 * nothing new is put on it until it is named. A card that is missing is awaited for a while, as the next look may find
 * it; one that stays away is lost. One that went missing again and again is free once it has stayed for a while: each
 * change is told to the edge, which writes it down.
 *
 *   named ── not in the list ──▶ awaited ── AWAITED_MS later ──▶ lost
 *     ▲                            │                              │
 *     └── named again, and steady ─┴──────────────────────────────┘
 */
import type { DriverCard } from "./driver-cards.ts";
import type { CudaDevice, SmiReport } from "./nvidia-smi.ts";

const AWAITED_MS = 60_000;
/** A card that went missing so often within this time is unsteady until it has been named for so long. */
const UNSTEADY_LOSSES = 3;
const LOSSES_WITHIN_MS = 600_000;
const STEADY_MS = 60_000;

/** `missingSinceMs`: when the fence began; null: there is none. `backSinceMs`: named since then, and fenced. */
type Card = {
  device: CudaDevice;
  wasNamed: boolean;
  missingSinceMs: number | null;
  backSinceMs: number | null;
  lossesAtMs: number[];
};

/** A card as it is now; `isAwaited`: it is fenced, and may be free in a moment. */
export type KnownCard = CudaDevice & { isAwaited: boolean };

export class KnownCards {
  readonly #cards = new Map<string, Card>();

  /** Takes what was named now, and what the driver has. Answers all that are known, in the order of their numbers. */
  named({ devices, problem }: SmiReport, nowMs: number, ofDriver: readonly DriverCard[] = []): KnownCard[] {
    const named = devices.map((device) => this.#named(device, nowMs));
    const uuids = new Set(devices.map(({ uuid }) => uuid));
    this.#expect(ofDriver, devices);
    const numbers = new Set(devices.map(({ id }) => id));
    const missing = Array.from(this.#cards.values()).flatMap((card) => {
      if (uuids.has(card.device.uuid)) return [];
      lose(card, nowMs);
      return [{ ...asMissing(card, problem, numbers), isAwaited: isAwaited(card, nowMs) }];
    });
    return [...named, ...missing].sort(byNumber);
  }

  #named(device: CudaDevice, nowMs: number): KnownCard {
    const card = this.#cards.get(device.uuid) ?? newCard(device);
    this.#cards.set(device.uuid, card);
    card.device = device;
    card.wasNamed = true;
    if (card.missingSinceMs === null) return { ...device, isAwaited: false };
    card.backSinceMs ??= nowMs;
    if (isSteady(card, nowMs)) {
      card.missingSinceMs = null;
      card.backSinceMs = null;
      return { ...device, isAwaited: false };
    }
    const losses = `GPU ${device.id} went missing ${card.lossesAtMs.length} times in ten minutes`;
    const why = `${losses}: it is used again once it has stayed for one`;
    return { ...device, problem: device.problem ?? why, isAwaited: isAwaited(card, nowMs) };
  }

  #expect(ofDriver: readonly DriverCard[], named: readonly CudaDevice[]): void {
    const inOrder = ofDriver.map(({ uuid }) => uuid);
    // What names no card of the driver's tells of something else.
    if (!named.some(({ uuid }) => inOrder.includes(uuid))) return;
    const isNumbered = named.every(({ uuid, id }) => inOrder.indexOf(uuid) === Number(id));
    for (const [number, { uuid, name }] of ofDriver.entries()) {
      if (this.#cards.has(uuid)) continue;
      this.#cards.set(uuid, newCard(unnamed(isNumbered ? String(number) : uuid, uuid, name)));
    }
  }
}

function newCard(device: CudaDevice): Card {
  return { device, wasNamed: false, missingSinceMs: null, backSinceMs: null, lossesAtMs: [] };
}

function lose(card: Card, nowMs: number): void {
  const isNew = card.missingSinceMs === null || card.backSinceMs !== null;
  if (isNew) card.lossesAtMs = [...card.lossesAtMs.filter((atMs) => nowMs - atMs < LOSSES_WITHIN_MS), nowMs];
  card.missingSinceMs ??= nowMs;
  card.backSinceMs = null;
}

function isAwaited({ missingSinceMs }: Card, nowMs: number): boolean {
  return missingSinceMs !== null && nowMs - missingSinceMs < AWAITED_MS;
}

function isSteady({ lossesAtMs, backSinceMs }: Card, nowMs: number): boolean {
  const losses = lossesAtMs.filter((atMs) => nowMs - atMs < LOSSES_WITHIN_MS);
  return losses.length < UNSTEADY_LOSSES || (backSinceMs !== null && nowMs - backSinceMs >= STEADY_MS);
}

/** A card that only the driver told of. */
function unnamed(id: string, uuid: string, name: string): CudaDevice {
  return {
    ...{ id, uuid, name, memoryBytes: null, usedBytes: null, utilizationPercent: null },
    ...{ temperatureCelsius: null, powerWatts: null, uncorrectedEccErrors: null, problem: null },
  };
}

/** Cards that are left may have been numbered anew: what is missing goes by its uuid where another has its number. */
function asMissing({ device, wasNamed }: Card, problem: string | null, numbers: ReadonlySet<string>): CudaDevice {
  const why = wasNamed ? "nvidia-smi does not name it any more" : "the driver has it, and nvidia-smi does not name it";
  return {
    ...device,
    id: numbers.has(device.id) ? device.uuid : device.id,
    usedBytes: null,
    utilizationPercent: null,
    temperatureCelsius: null,
    powerWatts: null,
    problem: `GPU ${device.id} is missing: ${problem ?? why}`,
  };
}

/** What has no number stands behind those that have one. */
function byNumber(one: CudaDevice, other: CudaDevice): number {
  const [first, second] = [Number(one.id), Number(other.id)];
  if (Number.isNaN(first) || Number.isNaN(second)) return Number(Number.isNaN(first)) - Number(Number.isNaN(second));
  return first - second;
}
