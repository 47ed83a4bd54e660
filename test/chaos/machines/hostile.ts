/**
 * A provider that refuses, is slow, and lies, in front of one that doesn't: what it does is drawn from a seed, and each
 * fault comes so many times at most.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ProviderError } from "../../../provider/provider.ts";
import type { Order, Provider, Seen } from "../../../provider/provider.ts";
import type { Offer } from "../../../src/contract/provider.ts";

/** These strike the first time, whatever is drawn. */
const CERTAIN: ReadonlySet<keyof Told> = new Set(["madeUnheard", "liedOfReturn"]);
/** One that refused is left alone for minutes: there are enough of them. */
const OFFERS = 40;
const SLOWEST_MS = 1500;

const MOST = { refused: 8, lost: 3, madeUnheard: 3, liedOfReturn: 3, failedReturn: 3, failedList: 10 };
const LOOK_MS = 50;
export type Told = typeof MOST;

export class Hostile implements Provider {
  readonly kind = "local";
  readonly told: Told = { refused: 0, lost: 0, madeUnheard: 0, liedOfReturn: 0, failedReturn: 0, failedList: 0 };
  behaves = false;
  /** By id: when what was let go goes, by `performance.now`. */
  readonly #leaving = new Map<string, number>();
  readonly #inner: Provider;
  readonly #random: () => number;

  constructor(inner: Provider, random: () => number) {
    this.#inner = inner;
    this.#random = random;
  }

  async offers(signal: AbortSignal): Promise<Offer[]> {
    const offers = await this.#inner.offers(signal);
    return offers.flatMap((offer) => Array.from({ length: OFFERS }, (_, n) => ({ ...offer, id: `${offer.id}~${n}` })));
  }

  async list(signal: AbortSignal): Promise<Seen[]> {
    await this.#dawdle(300);
    if (this.#does("failedList", 0.15)) throw new ProviderError("ambiguous", "it answered 500");
    return (await this.#inner.list(signal)).map((seen) => {
      const leavesAtMs = this.#leaving.get(seen.providerId);
      const noticeS = leavesAtMs === undefined ? 0 : Math.max(0, leavesAtMs - performance.now()) / 1000;
      return { ...seen, offer: null, ...(leavesAtMs === undefined ? {} : { noticeS }) };
    });
  }

  async create(order: Order, signal: AbortSignal): Promise<string> {
    await this.#dawdle(SLOWEST_MS);
    if (this.#does("refused", 0.15)) throw new ProviderError("sold_out", "none left");
    if (this.#does("lost", 0.1)) throw new ProviderError("ambiguous", "the connection was cut");
    const made = await this.#inner.create({ ...order, offer: order.offer.split("~")[0] ?? "" }, signal);
    if (this.#does("madeUnheard", 0.2)) throw new ProviderError("timeout", "no answer in time");
    return made;
  }

  async destroy(providerId: string, signal: AbortSignal): Promise<void> {
    await this.#dawdle(500);
    if (this.#does("failedReturn", 0.2)) throw new ProviderError("ambiguous", "it answered 502");
    if (this.#does("liedOfReturn", 0.25)) return;
    await this.#inner.destroy(providerId, signal);
  }

  /**
   * Takes a machine back that runs, as spot machines go: its list says so `noticeS` seconds before. `vanish` ends it
   * and all that it had. Resolves with its id when it is gone; with null where `signal` was aborted before one ran.
   */
  async takeBack(noticeS: number, vanish: (id: string) => void, signal: AbortSignal): Promise<string | null> {
    while (!signal.aborted) {
      const seen = await this.#inner.list(signal);
      const one = seen.find(({ providerId, state }) => state === "running" && !this.#leaving.has(providerId));
      if (one === undefined) {
        await sleep(LOOK_MS);
        continue;
      }
      this.#leaving.set(one.providerId, performance.now() + noticeS * 1000);
      await sleep(noticeS * 1000);
      vanish(one.providerId);
      return one.providerId;
    }
    return null;
  }

  #does(what: keyof Told, share: number): boolean {
    const isDrawn = this.#random() < share || (CERTAIN.has(what) && this.told[what] === 0);
    if (this.behaves || !isDrawn || this.told[what] >= MOST[what]) return false;
    this.told[what] += 1;
    return true;
  }

  async #dawdle(mostMs: number): Promise<void> {
    if (!this.behaves) await sleep(this.#random() * mostMs);
  }
}
