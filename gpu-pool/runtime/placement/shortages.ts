/**
 * Which models of a host get no place, and how many more instances each of them would get, so that room can be told as
 * it is: what a pool takes because it could have more instances must find them.
 *
 *   nothing speaks against any ── blocked ──▶ none ⇄ so many, as others come and go
 *   so many ── all that it may start ──▶ nothing speaks against any
 *
 * A model whose memory nobody knows gets one place, and no other before that one is measured.
 */
import { morePlaces } from "../../scheduling/placement/more-places.ts";
import { isGuess } from "../../scheduling/placement/plan.ts";
import type { Host, PlacementModel, Plan } from "../../scheduling/placement/types.ts";
import type { Placeable } from "./placeable.ts";

/** It wants an instance and gets none now (`isBlocked`), or did, or `isGuess`; `places`: how many it would get. */
type Shortage = { isBlocked: boolean; isGuess?: true; places: number };

export class Shortages {
  #known: ReadonlyMap<Placeable, Shortage> = new Map();
  #isAny = false;

  /** Somebody waits for a place, or takes less for want of one. */
  get isAny(): boolean {
    return this.#isAny;
  }

  /** It wants an instance more than it can have now. */
  isBlocked(placeable: Placeable): boolean {
    return this.#known.get(placeable)?.isBlocked ?? false;
  }

  /** How many more instances than it has would get a place now; Infinity while nothing speaks against any. */
  placesFor(placeable: Placeable): number {
    return this.#known.get(placeable)?.places ?? Infinity;
  }

  /**
   * Takes what was planned for these, which are the host's models in their order. Answers whether any of it is news,
   * and when time alone may make it otherwise.
   */
  planned(
    placeables: Iterable<Placeable>,
    host: Host,
    plan: Plan,
    nowMs: number,
  ): { isNews: boolean; lookAgainInMs: number } {
    const blocked = new Set(plan.blocked);
    const known = new Map<Placeable, Shortage>();
    let ask: ReturnType<typeof morePlaces> | null = null;
    let lookAgainInMs = Infinity;
    for (const [index, placeable] of [...placeables].entries()) {
      const model = host.models[index];
      if (model === undefined) continue;
      if (blocked.has(model.model)) known.set(placeable, { isBlocked: true, places: 0 });
      else if (isGuess(model, host.devices)) {
        const guess = shortageOfGuess(placeable, host, plan);
        if (guess !== null) known.set(placeable, guess);
      } else if (this.#known.has(placeable) && mayTakeMore(placeable, model)) {
        ask ??= morePlaces(host, plan, nowMs);
        const would = ask(model.model);
        if (would.places >= Math.max(1, model.startable)) continue;
        known.set(placeable, { isBlocked: false, places: would.places });
        lookAgainInMs = Math.min(lookAgainInMs, would.lookAgainInMs);
      }
    }
    const before = this.#known;
    this.#known = known;
    this.#isAny = Array.from(known.values()).some((one) => one.isGuess !== true);
    return { isNews: !isSame(before, known), lookAgainInMs };
  }
}

/** One is loaded and measured, and no other before that is over. Null where it may have no more anyway. */
function shortageOfGuess({ needs, instances }: Placeable, host: Host, plan: Plan): Shortage | null {
  const { length: begun } = plan.starts.filter(({ model }) => model === needs.model);
  const has = host.instances.filter(({ model, state }) => model === needs.model && state !== "leaving").length + begun;
  const without = instances.filter(({ placement }) => placement === "none").length - begun;
  const places = has === 0 ? 1 : 0;
  return without > places ? { isBlocked: false, isGuess: true, places } : null;
}

/** Whether work may come for an instance of it that has no place, beside others that have one. */
function mayTakeMore({ instances }: Placeable, { wanted }: PlacementModel): boolean {
  const without = instances.filter(({ placement }) => placement === "none").length;
  return without > 0 && (wanted > 0 || without < instances.length);
}

function isSame(one: ReadonlyMap<Placeable, Shortage>, other: ReadonlyMap<Placeable, Shortage>): boolean {
  const has = (placeable: Placeable, { isBlocked, places }: Shortage): boolean => {
    const same = other.get(placeable);
    return same?.isBlocked === isBlocked && same.places === places;
  };
  return one.size === other.size && Array.from(one).every(([placeable, shortage]) => has(placeable, shortage));
}
