/**
 * The machines of a deployment, and what providers and pools say of them. Every change of a machine's state is stored
 * before anything follows from it. What providers say is judged, not believed: a machine that is missing from a list
 * may be about to appear, and one whose pool is connected is there, whatever the list says.
 */
import type { Offer, ProviderMachine, SyncRequest } from "../../contract/provider.ts";
import type { ScalerClock } from "./clock.ts";
import { isWorking, newMachineId } from "./machine.ts";
import type { Machine, MachineState, Sight } from "./machine.ts";
import { Avoided, classKey, hostKey, offerKey, soldKey } from "./offers.ts";

/** Between two lists that count as two. */
const LISTS_APART_MS = 5000;
const LISTS_WITHOUT = 2;
/** What may have been asked for can still appear for so long after it is no longer wanted. */
const SETTLE_MS = 60_000;
const SOLD_OUT_MS = 300_000;
const REFUSED_MS = 900_000;
/** An offer, or a host, whose machine never connected or failed its self-test. */
const FAILED_MS = 3_600_000;
/**
 * Machines of one class and provider that came to nothing, one after the other, before any of them served: beyond so
 * many, the next waits, and each time for twice as long.
 */
const EARLY_ENDS = 2;
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 3_600_000;
/** A pool that ended may be started again by its host. */
export const RETURN_MS = 120_000;

export type BookDeps = {
  clock: ScalerClock;
  save(machine: Machine): void;
  remove(id: string): void;
  /** It is gone for good. */
  ended(machine: Machine): void;
  /** Its provider took it away, or says that it will. */
  lost(machine: Machine): void;
  /** It was rented so long, and no pool metered its devices: until its pool came (`boot`), or after that. */
  unmetered(machine: Machine, fromMs: number, toMs: number, phase: "boot" | "unused"): void;
  /** From the order to the pool's hello. */
  booted(machine: Machine, bootMs: number): void;
};

export type Counts = {
  lost: number;
  neverConnected: number;
  selfTestFailed: number;
  refused: number;
  disagreed: number;
};

export class MachineBook {
  readonly avoided = new Avoided();
  readonly counts: Counts = { lost: 0, neverConnected: 0, selfTestFailed: 0, refused: 0, disagreed: 0 };
  readonly #deps: BookDeps;
  readonly #machines = new Map<string, Machine>();
  readonly #sights = new Map<string, Sight & { missedAt: number }>();
  /** By class and provider: how many in a row ended before they served. */
  readonly #endedEarly = new Map<string, number>();

  constructor(deps: BookDeps, stored: readonly Machine[]) {
    this.#deps = deps;
    const { monoOf } = deps.clock;
    for (const machine of stored) this.#put(machine, monoOf(machine.sinceMs), monoOf(machine.wantedAtMs));
  }

  get size(): number {
    return this.#machines.size;
  }

  all(): Machine[] {
    return [...this.#machines.values()];
  }

  get(id: string): Machine | undefined {
    return this.#machines.get(id);
  }

  ofProvider(provider: string): Machine[] {
    return this.all().filter((machine) => machine.provider === provider);
  }

  bySession(session: string): Machine | undefined {
    return this.all().find((machine) => machine.session === session);
  }

  /** Its pool counts as connected, and its provider's lists lack it: one of the two is wrong. */
  isDisputed({ id, session }: Machine): boolean {
    return session !== null && (this.#sights.get(id)?.missed ?? 0) >= LISTS_WITHOUT;
  }

  /** Milliseconds that it has been in its state. */
  ageMs(machine: Machine): number {
    const sinceMono = this.#sights.get(machine.id)?.sinceMono ?? 0;
    return Math.max(0, this.#deps.clock.mono() - sinceMono);
  }

  want(offer: Offer & { provider: string }, why: string, cause: string | null): Machine {
    const now = this.#deps.clock.wall();
    const machine: Machine = {
      id: newMachineId(),
      hardware: offer.hardware,
      provider: offer.provider,
      offer: offer.id,
      host: offer.host ?? null,
      zone: offer.zone ?? null,
      isSpot: offer.spot,
      devices: offer.devices,
      pricePerHourNano: offer.pricePerHourNano,
      billingIncrementS: offer.billingIncrementS,
      state: "wanted",
      why,
      sinceMs: now,
      wantedAtMs: now,
      seenAtMs: null,
      connectedAtMs: null,
      readyAtMs: null,
      session: null,
      notBeforeMs: null,
      unmeteredFromMs: null,
      cause,
    };
    this.#deps.save(machine);
    this.#put(machine, this.#deps.clock.mono());
    return machine;
  }

  /** Its provider is being told of it. */
  asked(id: string): void {
    const machine = this.#machines.get(id);
    if (machine?.state === "wanted") this.#change(machine, "asked", machine.why);
  }

  /** What the provider has, refuses and lacks. */
  synced(request: SyncRequest): void {
    const { provider, machines, refused, complete } = request;
    const listed = new Set<string>();
    for (const one of machines) {
      const machine = one.machine === null ? undefined : this.#machines.get(one.machine);
      if (machine === undefined || machine.provider !== provider) continue;
      listed.add(machine.id);
      this.#listed(machine, one);
    }
    for (const one of refused) {
      const machine = this.#machines.get(one.machine);
      if (machine === undefined || machine.provider !== provider || listed.has(machine.id)) continue;
      this.#refused(machine, one);
    }
    if (!complete) return;
    for (const machine of this.ofProvider(provider)) if (!listed.has(machine.id)) this.#missing(machine);
  }

  /** A pool signed in with the machine's token; it has so many devices, and meters them since then. */
  connected(id: string, session: string, devices: number, meteredFromMs = Infinity): Machine | null {
    const machine = this.#machines.get(id);
    if (machine === undefined) return null;
    const now = this.#deps.clock.wall();
    const first = machine.connectedAtMs === null;
    const wantedMono = this.#sights.get(id)?.wantedMono ?? this.#deps.clock.mono();
    this.#meter(machine, meteredFromMs);
    const seen = {
      session,
      connectedAtMs: machine.connectedAtMs ?? now,
      seenAtMs: machine.seenAtMs ?? this.#deps.clock.billing(),
      unmeteredFromMs: null,
    };
    if (!isWorking(machine)) this.#update({ ...machine, ...seen });
    else if (devices < machine.devices) {
      this.counts.selfTestFailed += 1;
      this.#avoid(machine, FAILED_MS);
      this.#noteEnd(machine);
      const why = `${devices} of its ${machine.devices} devices passed their test`;
      this.#change({ ...machine, ...seen }, "gone", why);
    } else if (machine.state === "ready" && machine.session === session) return machine;
    else this.#change({ ...machine, ...seen }, machine.readyAtMs === null ? "connected" : "ready", "");
    if (first) this.#deps.booted(machine, this.#deps.clock.mono() - wantedMono);
    return this.#machines.get(id) ?? null;
  }

  /** A model serves there. */
  serves(session: string): void {
    const machine = this.bySession(session);
    if (machine?.state !== "connected") return;
    this.#endedEarly.delete(classKey(machine));
    this.#change({ ...machine, readyAtMs: machine.readyAtMs ?? this.#deps.clock.wall() }, "ready", "");
  }

  /** The machine's pool session is over. */
  poolEnded(id: string, session: string): void {
    const machine = this.#machines.get(id);
    if (machine?.session !== session) return;
    const without = { ...machine, session: null, unmeteredFromMs: this.#deps.clock.wall() };
    if (machine.state === "draining") this.#change(without, "gone", machine.why);
    else if (isWorking(machine)) this.#change(without, "booting", "its pool ended; it may come back");
    else this.#update(without);
  }

  drain(id: string, why: string): void {
    const machine = this.#machines.get(id);
    if (machine === undefined || !isWorking(machine)) return;
    if (machine.state === "wanted") this.#forget(machine);
    else this.#change(machine, machine.session === null ? "gone" : "draining", why);
  }

  /** To be returned, whatever runs on it. */
  giveUp(id: string, why: string): void {
    const machine = this.#machines.get(id);
    if (machine === undefined || machine.state === "gone") return;
    if (machine.state === "wanted") this.#forget(machine);
    else this.#change(machine, "gone", why);
  }

  /** Somebody who knows says that it is gone: it costs nothing from now on. */
  forget(id: string): void {
    const machine = this.#machines.get(id);
    if (machine !== undefined) this.#forget(machine);
  }

  /** It did not connect in time: others of its kind are avoided for a while. */
  neverConnected(id: string, why: string): void {
    const machine = this.#machines.get(id);
    if (machine === undefined) return;
    this.counts.neverConnected += 1;
    this.#avoid(machine, FAILED_MS);
    this.#noteEnd(machine);
    this.giveUp(id, why);
  }

  /** Its pool ended, and nobody started it again. */
  notBack(id: string): void {
    const machine = this.#machines.get(id);
    if (machine === undefined) return;
    this.#noteEnd(machine);
    this.giveUp(id, "its pool ended and did not come back");
  }

  /** The clock that money is counted by makes a jump: machines have been there no longer than before. */
  rentLater(jumpMs: number): void {
    if (jumpMs === 0) return;
    for (const machine of this.all())
      if (machine.seenAtMs !== null) this.#update({ ...machine, seenAtMs: machine.seenAtMs + jumpMs });
  }

  isAvoided = (key: string): boolean => this.avoided.has(key, this.#deps.clock.mono());

  #listed(machine: Machine, one: ProviderMachine): void {
    const sight = this.#sights.get(machine.id);
    if (sight !== undefined) {
      sight.missed = 0;
      sight.listed = one.state;
    }
    const { billing, wall } = this.#deps.clock;
    const rented = machine.seenAtMs === null ? { seenAtMs: billing(), unmeteredFromMs: wall() } : {};
    const seen = { ...rented, host: one.host ?? machine.host };
    if (machine.state === "wanted" || machine.state === "asked") this.#change({ ...machine, ...seen }, "booting", "");
    else if (machine.seenAtMs === null || seen.host !== machine.host) this.#update({ ...machine, ...seen });
    if (one.noticeS === undefined) return;
    if (isWorking(machine)) this.#deps.lost(machine);
    this.drain(machine.id, `its provider takes it back in ${one.noticeS} s`);
  }

  #refused(machine: Machine, { reason, message, retryAfterMs }: SyncRequest["refused"][number]): void {
    if (machine.state !== "wanted" && machine.state !== "asked") return;
    // Nobody knows yet whether there is one.
    if (reason === "ambiguous" || reason === "timeout") {
      const why = `${reason}: ${message}`;
      if (why !== machine.why) this.#update({ ...machine, why });
      return;
    }
    this.counts.refused += 1;
    const [keyOf, leastMs] = reason === "sold_out" ? [soldKey, SOLD_OUT_MS] : [offerKey, REFUSED_MS];
    const key = keyOf({ provider: machine.provider, id: machine.offer });
    this.avoided.add(key, this.#deps.clock.mono() + Math.max(retryAfterMs ?? 0, leastMs));
    this.#forget(machine);
  }

  #missing(machine: Machine): void {
    // It was to go, and went. Should it be listed again, it is an orphan, and returned.
    const isReturned = machine.state === "gone" && machine.seenAtMs !== null && machine.session === null;
    if (isReturned) {
      // Then there is one more of it to be had than when it was sold out.
      this.avoided.lift(soldKey({ provider: machine.provider, id: machine.offer }));
      return this.#forget(machine);
    }
    const sight = this.#sights.get(machine.id);
    const mono = this.#deps.clock.mono();
    if (sight === undefined || mono - sight.missedAt < LISTS_APART_MS) return;
    sight.missed += 1;
    sight.missedAt = mono;
    sight.listed = null;
    if (sight.missed < LISTS_WITHOUT) return;
    if (machine.session !== null) {
      if (sight.missed === LISTS_WITHOUT) this.counts.disagreed += 1;
      return;
    }
    if (machine.state === "gone") {
      if (this.ageMs(machine) > SETTLE_MS) this.#forget(machine);
    } else if (machine.seenAtMs !== null) {
      this.counts.lost += 1;
      if (isWorking(machine)) this.#deps.lost(machine);
      this.#noteEnd(machine);
      this.#forget(machine);
    }
  }

  /**
   * What ends before it serves is most likely to end so again, wherever it runs: a broken image, or a pool that
   * crashes.
   */
  #noteEnd(machine: Machine): void {
    if (machine.readyAtMs !== null) return;
    const key = classKey(machine);
    const count = (this.#endedEarly.get(key) ?? 0) + 1;
    this.#endedEarly.set(key, count);
    if (count <= EARLY_ENDS) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - EARLY_ENDS - 1));
    this.avoided.add(key, this.#deps.clock.mono() + pauseMs);
  }

  #avoid(machine: Machine, forMs: number): void {
    const until = this.#deps.clock.mono() + forMs;
    const { provider, offer, host } = machine;
    if (host === null) this.avoided.add(offerKey({ provider, id: offer }), until);
    else this.avoided.add(hostKey({ provider, host }), until);
  }

  #change(machine: Machine, state: MachineState, why: string): void {
    const changed = { ...machine, state, why, sinceMs: this.#deps.clock.wall() };
    this.#update(changed);
    const sight = this.#sights.get(machine.id);
    if (sight !== undefined) sight.sinceMono = this.#deps.clock.mono();
  }

  #update(machine: Machine): void {
    this.#deps.save(machine);
    this.#machines.set(machine.id, machine);
  }

  /** Tells of the time that no pool metered, which ended then, or now. */
  #meter(machine: Machine, endedMs = Infinity): void {
    const { unmeteredFromMs: fromMs, connectedAtMs } = machine;
    const toMs = Math.min(this.#deps.clock.wall(), endedMs);
    if (fromMs === null || toMs <= fromMs) return;
    this.#deps.unmetered(machine, fromMs, toMs, connectedAtMs === null ? "boot" : "unused");
  }

  #forget(machine: Machine): void {
    this.#meter(machine);
    this.#deps.ended(machine);
    this.#deps.remove(machine.id);
    this.#machines.delete(machine.id);
    this.#sights.delete(machine.id);
  }

  #put(machine: Machine, sinceMono: number, wantedMono = sinceMono): void {
    this.#machines.set(machine.id, machine);
    this.#sights.set(machine.id, { sinceMono, wantedMono, missed: 0, missedAt: -Infinity, listed: null });
  }
}
