/**
 * A deployment in small: the scaler's core, one lane, and a provider that goes by the protocol, all on one clock. Tests
 * step it second by second and say what goes wrong.
 */
import type { Offer, ProviderMachine, SyncRequest } from "../../../src/contract/provider.ts";
import { machineName } from "../../../src/contract/provider.ts";
import { ScalingSettingsSchema } from "../../../src/contract/scaling.ts";
import type { VersionDemand } from "../../../src/scaling/demand.ts";
import type { IntervalRecord } from "../../../src/metering/record.ts";
import { keyOf } from "../../../src/scaling/object/lanes.ts";
import { createClock } from "../../../src/scaling/object/clock.ts";
import { ScalerCore } from "../../../src/scaling/object/core.ts";
import { ScalerStore } from "../../../src/scaling/object/rows.ts";
import { statusOf } from "../../../src/scaling/object/status.ts";
import type { Wish } from "../../../src/scaling/object/wishes.ts";
import { memorySql } from "../memory-sql.ts";
import { Tally } from "./tally.ts";
import type { Job as AnyJob } from "./tally.ts";

const T0 = Date.UTC(2026, 10, 10);
const NANO = 1e9;

export function offer(id: string, more: Partial<Offer> = {}): Offer {
  return {
    id,
    hardware: "cpu",
    devices: 1,
    pricePerHourNano: NANO,
    currency: "USD",
    billingIncrementS: 1,
    spot: false,
    available: null,
    ...more,
  };
}

/** A model's name alone stands for its version `v`; `owner/name:w` for another. */
function refOf(name: string): { model: string; version: string } {
  const [model = "", version = "v"] = name.split(":");
  return { model, version };
}

type Job = AnyJob & { isLow: boolean };

/** A machine as it is in truth, whatever the provider says of it. */
type Real = { name: string; offer: string; atS: number; session: string | null; isDraining: boolean };

export type Faults = {
  /** What the provider answers an order with, instead of a machine. */
  refuse?: (offerId: string) => SyncRequest["refused"][number]["reason"] | null;
  /** Orders are carried out, but nobody is told whether. */
  ambiguous?: boolean;
  /** It says that these are gone, which they are not. */
  hides?: (name: string) => boolean;
  /** It lists them, and does not return them. */
  keeps?: boolean;
  neverBoots?: (offerId: string) => boolean;
  /** Devices that pass their test. */
  devices?: number;
  /** Set-ups of this model fail. */
  sick?: string;
  /** Only on machines of these offers. */
  sickOn?: (offerId: string) => boolean;
  /** Only after so many seconds, in which what waits is granted to the machine that sets up. */
  sickAfterS?: number;
  /** Machines of these offers are gone so many seconds after they were made. */
  vanishAfterS?: (offerId: string) => number;
  away?: boolean;
};

export class World {
  readonly sql = memorySql();
  core: ScalerCore;
  faults: Faults = {};
  offers: Offer[] = [offer("small")];
  readonly real = new Map<string, Real>();
  jobs: Job[] = [];
  done: { model: string; waitS: number }[] = [];
  /** What the scaler told the meter: time of machines in which no pool was there. */
  /** Sessions that were to be looked at. */
  readonly checked: { machine: string; session: string }[] = [];
  readonly metered: IntervalRecord[] = [];
  /** Machines that were ever made, and the most at a time. */
  made = 0;
  most = 0;
  bootS = 20;
  /** From a pool's hello until a model serves there. */
  setupS = 0;
  /** What its provider says that a boot takes. */
  expects: Pick<SyncRequest, "expectedBootS"> = {};
  slots = 1;
  /** Which models run on machines of which offers. */
  runsOn: (model: string, offerId: string) => boolean = () => true;
  wallMs = T0;
  #refused: SyncRequest["refused"] = [];
  readonly #tally = new Tally();
  #n = 0;
  #next = 0;
  /** An id stands for one machine, ever. */
  readonly #everMade = new Set<string>();
  readonly #connectedS = new Map<string, number>();
  readonly #settings: unknown;
  readonly #wishes: Wish[];
  readonly #models: readonly string[];

  constructor(settings: unknown = {}, models: string[] = ["local/echo"], wish: Partial<Wish> = {}) {
    this.#settings = settings;
    this.#wishes = models.map((name) => ({
      ...{ key: keyOf(refOf(name)), ...refOf(name), lane: "default", own: {}, deployments: [] },
      ...{ hardware: null, memoryBytes: 0, ...wish },
    }));
    this.#models = models;
    this.core = this.open();
  }

  /** As after a restart of the object: what is stored is all that is left. `isRead`: but for what models wish. */
  open(isRead = true): ScalerCore {
    const store = new ScalerStore(this.sql);
    const core = new ScalerCore(
      createClock(() => this.wallMs, store),
      store,
    );
    core.settings = ScalingSettingsSchema.parse(this.#settings);
    if (isRead) core.wish(this.#wishes);
    this.core = core;
    return core;
  }

  get nowS(): number {
    return (this.wallMs - T0) / 1000;
  }

  get names(): string[] {
    return [...this.real.keys()];
  }

  status() {
    return statusOf(this.core, this.wallMs);
  }

  /** They were set up somewhere before: as many machines as are wanted may be rented for them at once. */
  prove(...models: string[]): void {
    for (const name of models) this.core.sickness.well(keyOf(refOf(name)));
  }

  arrive(model: string, count = 1, workS = 2, isLow = false): void {
    if (!isLow) this.#tally.of(model).arrived += count;
    for (let n = 0; n < count; n += 1)
      this.jobs.push({ model, isLow, workS, atS: this.nowS, startedS: null, on: null });
  }

  /** So many seconds; the provider is asked every second, which counts lists faster than in truth. */
  run(seconds: number, each: (atS: number) => void = () => {}): void {
    for (let n = 0; n < seconds; n += 1) {
      this.wallMs += 1000;
      each(this.nowS);
      this.#boot();
      this.#work();
      this.#tell();
      this.sync();
      this.most = Math.max(this.most, this.real.size);
    }
  }

  /** One sync, and what the provider does about it. */
  sync(): void {
    if (this.faults.away === true) return this.#look();
    const { hides = () => false } = this.faults;
    const machines = [...this.real.values()]
      .filter(({ name }) => !hides(name))
      .map(({ name, offer: id, atS, session }): ProviderMachine => ({
        ...{ machine: name.slice("edgeplane-".length), providerId: name, name, offer: id },
        ...{ state: session === null ? "booting" : "running", createdAtMs: T0 + atS * 1000 },
      }));
    this.core.synced({
      ...{
        protocol: 1,
        provider: "fake",
        kind: "fake",
        ...this.expects,
        offers: this.offers,
        machines,
        refused: this.#refused,
      },
      ...{ orphansReturned: 0, duplicatesReturned: 0, complete: true },
    });
    this.#refused = [];
    this.#look();
    const desired = this.core.desired("fake");
    for (const one of desired) this.core.book.asked(one.machine);
    for (const { machine, name, state, offer: id = "" } of desired) {
      if (state === "running" && !this.#everMade.has(name)) this.#create(machine, name, id);
      if (state === "gone" && !hides(name)) this.#return(name);
    }
    const wanted = new Set(desired.map(({ name }) => name));
    for (const name of this.names) if (!wanted.has(name) && !hides(name)) this.#return(name);
  }

  /** The machine is gone, with all that runs on it. */
  kill(name: string): void {
    const machine = this.real.get(name);
    this.real.delete(name);
    for (const job of this.jobs) if (job.on === name) Object.assign(job, { startedS: null, on: null });
    if (machine !== undefined && machine.session !== null)
      this.core.book.poolEnded(name.slice("edgeplane-".length), machine.session);
  }

  #look(): void {
    for (const { n, record } of this.core.rents.waiting) {
      this.metered.push(record);
      this.core.rents.taken(n);
    }
    const { drain, check } = this.core.tick();
    for (const { session } of drain) this.#drain(session);
    this.checked.push(...check);
  }

  #create(machine: string, name: string, id: string): void {
    const reason = this.faults.refuse?.(id) ?? null;
    if (reason !== null) this.#refused.push({ machine, reason, message: "no" });
    else this.real.set(name, { name, offer: id, atS: this.nowS, session: null, isDraining: false });
    if (reason === null) this.#everMade.add(name);
    if (reason === null) this.made += 1;
    if (this.faults.ambiguous === true) this.#refused.push({ machine, reason: "ambiguous", message: "504" });
  }

  #return(name: string): void {
    if (this.faults.keeps !== true) this.kill(name);
  }

  #boot(): void {
    for (const machine of [...this.real.values()]) {
      const { vanishAfterS = () => Infinity } = this.faults;
      if (this.nowS - machine.atS >= vanishAfterS(machine.offer)) {
        this.kill(machine.name);
        continue;
      }
      if (machine.session !== null || machine.isDraining) continue;
      if (this.faults.neverBoots?.(machine.offer) === true || this.nowS - machine.atS < this.bootS) continue;
      machine.session = `session-${(this.#next += 1)}`;
      this.#connectedS.set(machine.session, this.nowS);
      const id = machine.name.slice(machineName("").length);
      this.core.book.connected(id, machine.session, this.faults.devices ?? 1);
    }
  }

  #work(): void {
    const { ended, left } = this.#tally.end(this.jobs, this.nowS);
    for (const { model, startedS, atS } of ended) this.done.push({ model, waitS: (startedS ?? atS) - atS });
    this.jobs = left;
    for (const machine of this.real.values()) {
      if (machine.session === null || machine.isDraining || this.#setsUpForS(machine.session) > 0) continue;
      let free = this.slots - this.jobs.filter(({ on }) => on === machine.name).length;
      for (const job of this.jobs) {
        if (free === 0) break;
        const canRun = this.runsOn(job.model, machine.offer) && !this.#isSick(job.model, machine.offer);
        if (job.on !== null || !canRun) continue;
        this.#tally.start(job, machine.name, this.nowS);
        free -= 1;
      }
    }
    for (const { name, isDraining, session } of this.real.values()) {
      if (!isDraining || session === null || this.jobs.some(({ on }) => on === name)) continue;
      this.core.book.poolEnded(name.slice("edgeplane-".length), session);
      const machine = this.real.get(name);
      if (machine !== undefined) machine.session = null;
    }
  }

  #tell(): void {
    // A lane tells of a version once something of it came.
    const told = this.#models.filter((name) => !name.includes(":") || this.#tally.of(name).arrived > 0);
    const versions = told.map((model): VersionDemand => {
      const own = this.jobs.filter((job) => job.model === model);
      const waiting = own.filter(({ on }) => on === null);
      const sessions = [...this.real.values()].flatMap(({ name, offer: id, session, isDraining }) => {
        if (session === null || isDraining || !this.runsOn(model, id)) return [];
        const isSick = this.#isSick(model, id);
        const isSettingUp = isSick && this.nowS - (this.#connectedS.get(session) ?? 0) < (this.faults.sickAfterS ?? 0);
        const inFlight = isSettingUp ? waiting.length : own.filter(({ on }) => on === name).length;
        const problem = isSick && !isSettingUp ? "no module named torch" : null;
        const readyInMs = isSick ? null : 1000 * this.#setsUpForS(session);
        const busy = isSettingUp ? inFlight : this.jobs.filter(({ on }) => on === name).length;
        return [{ session, inFlight, startNow: Math.max(0, this.slots - busy), readyInMs, problem }];
      });
      return {
        ...{
          ...refOf(model),
          waiting: {
            high: 0,
            normal: waiting.filter(({ isLow }) => !isLow).length,
            low: waiting.filter(({ isLow }) => isLow).length,
          },
        },
        ...{ waitingMs: waiting.length === 0 ? 0 : (this.nowS - (waiting[0]?.atS ?? 0)) * 1000 },
        ...{ inFlight: own.length - waiting.length, ...this.#tally.of(model), sessions },
      };
    });
    this.#n += 1;
    this.core.demand("default", { life: "one", n: this.#n, versions });
  }

  #isSick(model: string, offerId: string): boolean {
    const { sick, sickOn = () => true } = this.faults;
    return model === sick && sickOn(offerId);
  }

  #setsUpForS(session: string): number {
    return Math.max(0, this.setupS - (this.nowS - (this.#connectedS.get(session) ?? 0)));
  }

  #drain(session: string): void {
    for (const machine of this.real.values()) if (machine.session === session) machine.isDraining = true;
  }
}
