/**
 * The scaler without its object: hears lanes, providers and pools, looks every second, and says what is to be done.
 * Synchronous; the clock is injected. What has to outlive the object is stored before anything follows from it.
 */
import type { DesiredMachine, SyncRequest } from "../../contract/provider.ts";
import { machineName } from "../../contract/provider.ts";
import { defaultScaling } from "../../contract/scaling.ts";
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { DemandReply, LaneDemand } from "../demand.ts";
import { Appetite, inSystem, kindOf } from "./appetite.ts";
import type { KnownKind } from "./appetite.ts";
import { Appetites } from "./appetites.ts";
import { aheadNanoOf, ClassState, settingsOf } from "./class-state.ts";
import type { ScalerClock } from "./clock.ts";
import { DrainCalls } from "./drain-calls.ts";
import type { DrainCall } from "./drain-calls.ts";
import { Homes, leastPrice } from "./homes.ts";
import { LaneNames } from "./lane-names.ts";
import { keyOf, Lanes } from "./lanes.ts";
import { Learned } from "./learned.ts";
import { OVERALL_MAX_VERSIONS } from "./limits.ts";
import { isWorking } from "./machine.ts";
import { MachineBook } from "./machine-book.ts";
import type { KnownOffer } from "./offers.ts";
import { outlookOf } from "./outlook.ts";
import { judgeTimes } from "./overdue.ts";
import { Providers } from "./providers.ts";
import type { ScalerStore } from "./rows.ts";
import { Purse } from "./purse.ts";
import { RentRecords, soleCause } from "./rent-records.ts";
import { elsewhere, heldNeeds, idleSOf, noteProblem, onMachine, standingPools } from "./residents.ts";
import { SessionChecks } from "./session-checks.ts";
import type { SessionCheck } from "./session-checks.ts";
import { Sickness } from "./sickness.ts";
import { Spills } from "./spills.ts";
import { SpotLosses } from "./spot-losses.ts";
import { wantingOf } from "./wanting.ts";
import { resolve } from "./wishes.ts";
import type { Resolved, Wish } from "./wishes.ts";

/** How often lanes tell while machines may be rented; and how often they ask whether that is so. */
const TELL_EVERY_MS = 1000;
const ASK_EVERY_MS = 30_000;
/** How long after the object's start lanes are waited for. */
const BLIND_MS = 60_000;

/** What others must be told. */
export type Errands = { drain: DrainCall[]; check: SessionCheck[] };

/** Why a provider's word isn't taken. */
export type SyncRefusal = "too_many" | { why: string };

export class ScalerCore {
  readonly book: MachineBook;
  readonly providers = new Providers();
  readonly lanes: Lanes;
  readonly laneNames: LaneNames;
  readonly learned: Learned;
  readonly sickness: Sickness;
  readonly rents: RentRecords;
  readonly losses: SpotLosses;
  readonly spills = new Spills();
  readonly classes = new Map<string, ClassState>();
  readonly appetites: Appetites;
  settings: ScalingSettings = defaultScaling;
  /** Services listen that have yet to say what they offer. */
  isExpecting = false;
  readonly #clock: ScalerClock;
  readonly #store: ScalerStore;
  #wishes = new Map<string, Wish>();
  #lookedFor: ReadonlySet<string> | null = null;
  readonly #purse: Purse;
  readonly #homes: Homes;
  readonly #drainCalls = new DrainCalls();
  readonly #checks = new SessionChecks();
  readonly #serving = new Set<string>();
  /** By class, within one look: what `#priceOf` found. */
  #prices: Map<string, number> | null = null;

  constructor(clock: ScalerClock, store: ScalerStore) {
    this.#clock = clock;
    this.#store = store;
    this.lanes = new Lanes(store.read("lanes") ?? []);
    this.laneNames = new LaneNames(store);
    this.appetites = new Appetites(store, clock.seconds());
    this.learned = new Learned(store.read("learned"), (phases) => store.write("learned", phases));
    this.rents = new RentRecords(store, clock.wall());
    this.sickness = new Sickness(
      // The release before noted no proofs: what was seen to be set up is proven.
      { sick: store.read("sick") ?? {}, proven: store.read("proven") ?? this.learned.versions() },
      { sick: (sick) => store.write("sick", sick), proven: (keys) => store.write("proven", keys) },
    );
    this.#purse = new Purse(store);
    this.#homes = new Homes(store);
    this.losses = new SpotLosses(store);
    this.book = new MachineBook(
      {
        clock,
        save: (machine) => store.saveMachine(machine),
        remove: (id) => store.removeMachine(id),
        ended: (machine) => {
          this.#purse.ended(machine, clock.billing());
          this.losses.wasThere(machine, clock.billing());
        },
        lost: (machine) => this.losses.lost(machine, clock.billing()),
        unmetered: (machine, fromMs, toMs, phase) => this.rents.add(machine, fromMs, toMs, phase),
        booted: ({ hardware }, ms) => this.learned.booted(hardware, ms),
      },
      store.machines(),
    );
  }

  /** Whether machines may be rented: a provider was heard, settings name a class, or machines are left. */
  get isOn(): boolean {
    const isOffered = this.isExpecting || this.providers.all().length > 0;
    return Object.keys(this.settings.classes).length > 0 || isOffered || this.book.size > 0;
  }

  /** Whether time alone may change anything. What an absent provider is to return waits for it alone. */
  get isActive(): boolean {
    const moves = this.book.all().some(({ state, provider }) => state !== "gone" || this.isHere(provider));
    if (moves || this.rents.waiting.length > 0) return true;
    if (!this.isOn) return false;
    for (const { last } of this.classes.values())
      if (last !== null && last.plan.wanted.spot + last.plan.wanted.onDemand > 0) return true;
    for (const { demand } of this.appetites.values()) if (inSystem(demand) > 0) return true;
    return [...this.#wishes.keys()].some((key) => {
      const { hardware, min } = this.resolved(key);
      return hardware !== null && min > 0;
    });
  }

  /** When a machine must be rented before anything comes; null: for nothing. */
  prewarmAtMs(): number | null {
    if (!this.isOn) return null;
    const nowMs = this.#clock.wall();
    const inS = this.appetites.prewarmInS(this.#clock.seconds(), (key) => {
      const { hardware } = this.resolved(key);
      const isKept = hardware !== null && settingsOf(this.settings, hardware).keep_alive_s.max === undefined;
      return isKept && this.sickness.reason(key, nowMs) === null;
    });
    return inS === null ? null : nowMs + Math.ceil(1000 * inS);
  }

  /** Lanes that have not told since the object's start of what waits: until they have, nothing is drained. */
  silentLanes(): string[] {
    return this.laneNames.silent(this.lanes.names());
  }

  /** Whether no wishes were read yet, or not those of all versions that lanes told of: nothing is drained meanwhile. */
  isUnread(): boolean {
    const lookedFor = this.#lookedFor;
    return lookedFor === null || [...this.appetites.values()].some((one) => !lookedFor.has(keyOf(one)));
  }

  /** `lookedFor`: versions of which these are all the wishes. */
  wish(wishes: readonly Wish[], lookedFor: readonly { model: string; version: string }[] = wishes): void {
    this.#wishes = new Map(wishes.map((wish) => [wish.key, wish]));
    this.#lookedFor = new Set(lookedFor.map(keyOf));
  }

  /** A lane's word. */
  demand(lane: string, report: LaneDemand): DemandReply {
    if (!this.isOn) {
      this.laneNames.putOff(lane);
      return { everyMs: ASK_EVERY_MS, versions: [] };
    }
    const nowS = this.#clock.seconds();
    const isLate = this.laneNames.tells(lane);
    for (const { demand, heard, shares } of this.lanes.hear(lane, report, isLate)) {
      const key = keyOf(demand);
      this.#appetite(key, demand)?.hear(nowS, demand, heard, shares);
      if (heard.arrived > 0) this.#arrived(key, demand, nowS, heard.arrived);
      for (const { session, readyInMs, problem } of demand.sessions) {
        if (problem !== null) noteProblem(this, key, { session, problem }, this.#clock.wall());
        // What is granted to one that sets up may never run there.
        else if (readyInMs === 0) this.#serves(key, session);
      }
    }
    const versions = report.versions.slice(0, OVERALL_MAX_VERSIONS).map((one) => ({
      model: one.model,
      version: one.version,
      ...outlookOf(this, keyOf(one), this.#clock.wall()),
    }));
    return { everyMs: TELL_EVERY_MS, versions };
  }

  #arrived(key: string, ref: { model: string; version: string }, nowS: number, count: number): void {
    this.#store.arrived(key, this.#clock.wall(), count);
    this.appetites.arrived(ref, nowS, count);
  }

  /** Null: its word was taken. */
  synced(request: SyncRequest): SyncRefusal | null {
    const why = this.providers.refusal(request, this.#clock.mono());
    if (why !== null) return { why };
    const orphans = request.machines.filter(({ machine }) => machine !== null && this.book.get(machine) === undefined);
    if (!this.providers.heard(request, orphans.length, this.#clock.mono(), this.#clock.wall())) return "too_many";
    this.book.synced(request);
    return null;
  }

  /** What the provider is to have, without tokens and addresses. */
  desired(provider: string): Omit<DesiredMachine, "edgeUrl" | "lanes" | "poolToken">[] {
    return this.book.ofProvider(provider).map(({ id, state, offer, hardware, notBeforeMs }) => ({
      machine: id,
      state: state === "gone" ? "gone" : "running",
      offer,
      hardware,
      name: machineName(id),
      ...(notBeforeMs === null ? {} : { notBeforeMs }),
    }));
  }

  /** Looks at everything, and decides. */
  tick(): Errands {
    const nowMs = this.#clock.wall();
    this.book.rentLater(this.#clock.believeJump());
    judgeTimes(this.book, this.settings, {
      isHere: (name) => this.isHere(name),
      sinceStartMs: this.#clock.mono(),
    });
    this.#prices = new Map();
    this.spills.keepOf(this.#hardware());
    let aheadNano = 0;
    for (const hardware of this.#hardware()) aheadNano += this.#decide(hardware, nowMs, aheadNano);
    this.#prices = null;
    this.appetites.save(nowMs, () => !this.isActive);
    this.#clock.expectLooks(this.isActive);
    this.providers.forget(this.#clock.mono(), (name) => this.book.ofProvider(name).length > 0);
    const mono = this.#clock.mono();
    return { drain: this.#drainCalls.due(this.book, this.settings, mono), check: this.#checks.due(this.book, mono) };
  }

  /** Offers of the providers that are here. */
  offers(): readonly KnownOffer[] {
    return this.providers.offers(this.#clock.mono());
  }

  /** What holds for a version, by these settings. */
  resolved(key: string, settings = this.settings): Resolved {
    const wish = this.#wishes.get(key);
    if (wish === undefined)
      return {
        hardware: null,
        why: "its model is not known yet",
        targetS: null,
        min: 0,
        firmMin: 0,
        max: Infinity,
        others: [],
      };
    const home = this.#homes.get(key);
    const priceOf = (hardware: string): number =>
      hardware === home && this.#stays(hardware) ? 0 : this.#priceOf(hardware, settings);
    const all = this.#hardware(settings);
    const classes = home === null || all.includes(home) || !this.#stays(home) ? all : [...all, home];
    const found = resolve(wish, settings, { classes, home, priceOf });
    const { hardware } = found;
    if (hardware !== null && settings === this.settings && priceOf(hardware) < Infinity)
      this.#homes.keep(key, hardware);
    return found;
  }

  /** Who offers it may not be heard yet; or a machine of it is on its way. */
  #stays(hardware: string): boolean {
    if (this.#clock.mono() < BLIND_MS) return true;
    return this.book.all().some((one) => one.hardware === hardware && isWorking(one) && one.connectedAtMs === null);
  }

  /** What the least of a class costs an hour that can be rented now, or is there. */
  #priceOf(hardware: string, settings: ScalingSettings): number {
    const known = settings === this.settings ? this.#prices?.get(hardware) : undefined;
    if (known !== undefined) return known;
    const price = leastPrice(hardware, settings, this.offers(), this.book);
    if (settings === this.settings) this.#prices?.set(hardware, price);
    return price;
  }

  /** Whether the provider was heard lately. */
  isHere(provider: string): boolean {
    return this.providers.isHere(provider, this.#clock.mono());
  }

  /** What a machine of the class takes to boot: as seen, or as its cheapest provider expects; null: nobody knows. */
  bootMs(hardware: string): number | null {
    const learned = this.learned.bootMs(hardware);
    if (learned !== null) return learned;
    return this.providers.expectedBootMs(hardware, this.#clock.mono());
  }

  /** Forgets a machine that only its provider could say is gone; a string: why not. Null: there is none. */
  forget(id: string): true | string | null {
    const machine = this.book.get(id);
    if (machine === undefined) return null;
    const { provider, session } = machine;
    if (session !== null) return `The pool of ${id} is connected: the machine is there.`;
    if (this.isHere(provider))
      return `The service of ${provider} is heard: it returns the machine, or says that it is gone, by itself.`;
    this.book.forget(id);
    return true;
  }

  /** The time that costs are counted by. */
  billingMs(): number {
    return this.#clock.billing();
  }

  spentNano(hardware?: string): number {
    return this.#purse.spentNano(this.book.all(), this.billingMs(), hardware);
  }

  /** Classes that are set, offered, or have machines left; the cheapest offer in the settings' currency first. */
  #hardware(settings = this.settings): string[] {
    const isForeign = ({ currency }: KnownOffer): number => Number(currency !== settings.currency);
    const offers = this.offers()
      .toSorted((a, b) => isForeign(a) - isForeign(b) || a.pricePerHourNano - b.pricePerHourNano)
      .map(({ hardware }) => hardware);
    const left = this.book.all().map(({ hardware }) => hardware);
    return [...new Set([...offers, ...Object.keys(settings.classes), ...left])];
  }

  #isBlind(): boolean {
    const isSilent = this.#clock.mono() < BLIND_MS && this.silentLanes().length > 0;
    return isSilent || this.isUnread();
  }

  #appetite(key: string, ref: { model: string; version: string }): Appetite | null {
    return this.appetites.open(ref, this.#clock.seconds(), () => {
      const { targetS, hardware } = this.resolved(key);
      const target = targetS ?? settingsOf(this.settings, hardware ?? "").target_wait_s;
      return new Appetite(ref, target, this.#kind(hardware ?? "", key));
    });
  }

  /** Of a version, a machine has booted once it serves: its environment, weights and set-up are a part of that. */
  #kind(hardware: string, key: string): KnownKind {
    const bootMs = this.bootMs(hardware);
    const setupMs = this.learned.setupMs(key) ?? 0;
    return kindOf(hardware, bootMs, setupMs, [...this.book.all(), ...this.offers()]);
  }

  #serves(key: string, session: string): void {
    const name = `${session} ${key}`;
    if (this.#serving.has(name)) return;
    if (this.#serving.size > 10 * OVERALL_MAX_VERSIONS) this.#serving.clear();
    this.#serving.add(name);
    this.sickness.well(key);
    const machine = this.book.bySession(session);
    if (machine?.state !== "connected") return;
    if (machine.readyAtMs === null && machine.connectedAtMs !== null) this.learned.setUp(key, this.book.ageMs(machine));
    this.book.serves(session);
  }

  /** `aheadNano`: what classes before it may still spend. Answers what this one may. */
  #decide(hardware: string, nowMs: number, aheadNano: number): number {
    const own = settingsOf(this.settings, hardware);
    const keepS = own.keep_alive_s.min;
    const known = this.classes.get(hardware);
    const state = known?.keepS === keepS ? known : new ClassState(hardware, keepS);
    this.classes.set(hardware, state);
    const nowS = this.#clock.seconds();
    const machines = this.book.all().filter((one) => one.hardware === hardware);
    const wanting = wantingOf(this, hardware, { wishes: this.#wishes, nowMs }, (key, wish) =>
      this.#appetite(key, wish),
    );
    const standing = standingPools(
      this,
      wanting.map(({ key }) => key),
    );
    const serving = {
      ready: machines.filter((one) => one.session !== null && isWorking(one)).length,
      booting: machines.filter((one) => one.session === null && isWorking(one)).length,
    };
    const needs = wanting.map(({ key, appetite, bounds }) => {
      const others = elsewhere(this, key, hardware);
      const served = { own: serving, others, standing: own.external ? 0 : (standing.byKey.get(key) ?? 0) };
      return appetite.need(nowS, served, bounds, this.#kind(hardware, key));
    });
    const held = heldNeeds(this, hardware, this.#wishes.values(), nowMs);
    needs.push(...held);
    const decision = state.decide({
      ...{ nowS, nowMs: this.billingMs(), settings: this.settings, offers: this.offers(), machines, needs },
      idleS: idleSOf(wanting, held, nowS),
      spent: { ofClass: this.spentNano(hardware), inAll: this.spentNano() + aheadNano },
      bootMs: this.bootMs(hardware),
      isAvoided: this.book.isAvoided,
      losses: this.losses,
      onMachine: (machine) => onMachine(this, machine),
      standing: standing.all,
    });
    this.spills.note(hardware, decision.unrented, (key) => this.resolved(key));
    const cause = soleCause(needs, machines, own.min);
    for (const offer of decision.rent)
      this.#store.rented(offer.currency, this.book.want(offer, decision.plan.why, cause));
    if (!own.external && !this.#isBlind()) for (const id of decision.plan.drain) this.book.drain(id, decision.plan.why);
    return aheadNanoOf(this.book.all(), hardware, this.bootMs(hardware));
  }
}
