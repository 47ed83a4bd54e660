/**
 * A deployment with several providers: the scaler's core, one lane, and providers that each have a machine room of
 * their own and fall ill in ways of their own, all on one clock. `look` says after each second what must not be.
 */
import type { Offer, ProviderMachine, SyncRequest } from "../../../src/contract/provider.ts";
import { ScalingSettingsSchema } from "../../../src/contract/scaling.ts";
import type { VersionDemand } from "../../../src/scaling/demand.ts";
import { createClock } from "../../../src/scaling/object/clock.ts";
import { ScalerCore } from "../../../src/scaling/object/core.ts";
import { isWorking } from "../../../src/scaling/object/machine.ts";
import { ScalerStore } from "../../../src/scaling/object/rows.ts";
import { memorySql } from "../memory-sql.ts";
import { Tally } from "./tally.ts";
import type { Job } from "./tally.ts";

const T0 = Date.UTC(2026, 10, 10);
const PREFIX = "edgeplane-";
/** Between two syncs of a provider, and how long a service takes to return what it is to return. */
const SYNC_EVERY_S = 5;
/** Why a machine leaves that nothing needs, and nothing failed on. */
const NEEDLESS = /(is|are) wanted/;
/** What was ordered of a sick provider has come, or has been given up, after so long. */
const SETTLED_S = 150;
const LONGEST_ORPHAN_S = 60;
/** What failed at a provider is left alone for so long at most. */
const RECOVERED_S = 3600;

/** Machines at a time for a version that none has set up. */
const MOST_UNTRIED = 2;

/** `slow`: an order's machine appears late. `lies`: what is there is left out of the list. */
export type Illness = "sold_out" | "refuses" | "slow" | "lies" | "vanishes" | "away";
type Real = {
  name: string;
  offer: string;
  hardware: string;
  atS: number;
  session: string | null;
  drains: boolean;
  orphanSinceS: number | null;
};

export class Room {
  readonly real = new Map<string, Real>();
  illness: Illness | null = null;
  /** When it fell ill, or recovered, last. */
  changedS = 0;
  refused: SyncRequest["refused"] = [];
  /** Ids that it made a machine of, or will: by when. */
  readonly orders = new Map<string, number>();
  readonly name: string;
  readonly offers: Offer[];

  constructor(name: string, offers: Offer[]) {
    this.name = name;
    this.offers = offers;
  }
}

export type Model = { name: string; hardware?: string; isSick?: boolean };

export class Market {
  readonly rooms: Room[];
  core: ScalerCore;
  jobs: Job[] = [];
  done = 0;
  accepted = 0;
  /** Machines that were made, and those of them that a provider in health got back before they ever served. */
  made = 0;
  wasted = 0;
  /** By version: machines that were rented for it alone. */
  readonly rentedFor = new Map<string, Set<string>>();
  /** Seconds that pass; the wall's may jump. */
  nowS = 0;
  #jumpMs = 0;
  #n = 0;
  #sessions = 0;
  readonly bootS: number;
  readonly #sql = memorySql();
  readonly #settings: unknown;
  readonly #models: readonly Model[];
  readonly #tally = new Tally();
  /** Machines that the scaler has ordered so far. */
  #ordered = new Set<string>();
  #belowMinS = 0;

  constructor(settings: unknown, models: readonly Model[], rooms: Room[], bootS = 20) {
    this.#settings = settings;
    this.#models = models;
    this.rooms = rooms;
    this.bootS = bootS;
    this.core = this.open();
  }

  /** As after a restart of the object. */
  open(): ScalerCore {
    const store = new ScalerStore(this.#sql);
    const core = new ScalerCore(
      createClock(() => this.#wallMs, store),
      store,
    );
    core.settings = ScalingSettingsSchema.parse(this.#settings);
    core.wish(
      this.#models.map(({ name, hardware = null }) => ({
        ...{ key: `${name} v`, model: name, version: "v", lane: "default", own: {}, deployments: [] },
        ...{ hardware, memoryBytes: 0 },
      })),
    );
    this.core = core;
    return core;
  }

  get #wallMs(): number {
    return T0 + 1000 * this.nowS + this.#jumpMs;
  }

  get machines(): Real[] {
    return this.rooms.flatMap(({ real }) => [...real.values()]);
  }

  jump(ms: number): void {
    this.#jumpMs += ms;
  }

  fallIll(room: Room, illness: Illness | null): void {
    room.illness = illness;
    room.changedS = this.nowS;
  }

  arrive(model: string, workS: number): void {
    this.#tally.of(model).arrived += 1;
    this.accepted += 1;
    this.jobs.push({ model, workS, atS: this.nowS, startedS: null, on: null });
  }

  /** One second; what is wrong after it. */
  step(): string[] {
    this.nowS += 1;
    for (const room of this.rooms) this.#live(room);
    this.#work();
    this.#tell();
    for (const [index, room] of this.rooms.entries())
      if ((this.nowS + index) % SYNC_EVERY_S === 0 && room.illness !== "away") this.#sync(room);
    this.#look();
    return this.#wrongs();
  }

  #look(): void {
    for (const { n } of this.core.rents.waiting) this.core.rents.taken(n);
    for (const { session } of this.core.tick().drain)
      for (const one of this.machines) if (one.session === session) one.drains = true;
  }

  #sync(room: Room): void {
    const { name: provider, offers, real, illness } = room;
    const listed = illness === "lies" ? [] : [...real.values()];
    const machines = listed.map(({ name, offer, session, atS }): ProviderMachine => ({
      ...{ machine: name.slice(PREFIX.length), providerId: name, name, offer, createdAtMs: T0 + 1000 * atS },
      state: session === null ? "booting" : "running",
    }));
    const counts = { orphansReturned: 0, duplicatesReturned: 0, complete: true } as const;
    const refusal = this.core.synced({
      ...{ protocol: 1, provider, kind: "fake", offers, machines, refused: room.refused, ...counts },
    });
    if (refusal !== null) throw new Error(`the provider ${provider} was not let in`);
    room.refused = [];
    this.#look();
    const desired = this.core.desired(provider);
    for (const { machine, name, state, offer = "", hardware } of desired) {
      this.core.book.asked(machine);
      if (state === "running") this.#order(room, machine, { name, offer, hardware });
      else if (listed.some((one) => one.name === name)) this.#end(room, name);
    }
    const wanted = new Set(desired.map(({ name }) => name));
    for (const { name } of listed) if (!wanted.has(name)) this.#end(room, name);
    for (const id of room.orders.keys()) if (!wanted.has(`${PREFIX}${id}`)) room.orders.delete(id);
  }

  #order(room: Room, machine: string, order: Pick<Real, "name" | "offer" | "hardware">): void {
    const byS = room.orders.get(machine);
    if (room.real.has(order.name) || byS === Infinity || (byS ?? 0) > this.nowS) return;
    const { illness } = room;
    if (illness === "sold_out") room.refused.push({ machine, reason: "sold_out", message: "none is left" });
    else if (illness === "refuses") room.refused.push({ machine, reason: "refused", message: "500" });
    else if (illness === "slow" && byS === undefined) room.orders.set(machine, this.nowS + 90);
    else {
      room.orders.set(machine, Infinity);
      room.real.set(order.name, { ...order, atS: this.nowS, session: null, drains: false, orphanSinceS: null });
      this.made += 1;
    }
  }

  /** It is gone, with all that runs on it. */
  #end(room: Room, name: string): void {
    const machine = room.real.get(name);
    if (machine === undefined) return;
    room.real.delete(name);
    for (const job of this.jobs) if (job.on === name) Object.assign(job, { on: null, startedS: null });
    const why = this.core.book.get(name.slice(PREFIX.length))?.why ?? "";
    const isWell = room.illness === null && this.nowS - room.changedS > SETTLED_S;
    if (machine.session !== null) this.core.book.poolEnded(name.slice(PREFIX.length), machine.session);
    else if (isWell) this.wasted += Number(!machine.drains && NEEDLESS.test(why));
  }

  #live(room: Room): void {
    for (const machine of [...room.real.values()]) {
      const ageS = this.nowS - machine.atS;
      if (room.illness === "vanishes" && ageS > 10) this.#end(room, machine.name);
      else if (machine.session === null && !machine.drains && ageS >= this.bootS) {
        machine.session = `session-${(this.#sessions += 1)}`;
        this.core.book.connected(machine.name.slice(PREFIX.length), machine.session, 1);
      }
    }
  }

  #runs(machine: Real, model: string): boolean {
    const wish = this.#models.find(({ name }) => name === model);
    return wish?.isSick !== true && (wish?.hardware === undefined || wish.hardware === machine.hardware);
  }

  #work(): void {
    const { ended, left } = this.#tally.end(this.jobs, this.nowS);
    this.done += ended.length;
    this.jobs = left;
    const busy = new Set(this.jobs.map(({ on }) => on));
    for (const machine of this.machines) {
      if (machine.session === null || busy.has(machine.name)) continue;
      const job = machine.drains
        ? undefined
        : this.jobs.find((one) => one.on === null && this.#runs(machine, one.model));
      if (job !== undefined) this.#tally.start(job, machine.name, this.nowS);
      else if (machine.drains) {
        this.core.book.poolEnded(machine.name.slice(PREFIX.length), machine.session);
        machine.session = null;
      }
    }
  }

  #tell(): void {
    const there = this.machines.filter(({ session, drains }) => session !== null && !drains);
    const versions = this.#models.map(({ name: model, isSick = false, hardware }): VersionDemand => {
      const own = this.jobs.filter((job) => job.model === model);
      const waiting = own.filter(({ on }) => on === null);
      const sessions = there
        .filter((machine) => hardware === undefined || machine.hardware === hardware)
        .map(({ name, session }) => {
          const inFlight = own.filter(({ on }) => on === name).length;
          const problem = isSick ? "no module named torch" : null;
          const startNow = isSick ? 0 : 1 - this.jobs.filter(({ on }) => on === name).length;
          return { session: session ?? "", inFlight, startNow, readyInMs: isSick ? null : 0, problem };
        });
      return {
        ...{ model, version: "v", waiting: { high: 0, normal: waiting.length, low: 0 } },
        ...{ waitingMs: waiting.length === 0 ? 0 : (this.nowS - (waiting[0]?.atS ?? 0)) * 1000 },
        ...{ inFlight: own.length - waiting.length, ...this.#tally.of(model), sessions },
      };
    });
    this.core.demand("default", { life: "one", n: (this.#n += 1), versions });
  }

  #wrongs(): string[] {
    const wrongs: string[] = [];
    const book = this.core.book.all();
    for (const { id, cause } of book) {
      const ids = this.rentedFor.get(cause ?? "") ?? new Set();
      this.rentedFor.set(cause ?? "", ids.add(id));
    }
    for (const { name, isSick = false } of this.#models) {
      const own = book.filter((one) => one.cause === `${name} v` && isWorking(one)).length;
      if (isSick && own > MOST_UNTRIED) wrongs.push(`${own} machines are rented for ${name}, which none has set up`);
    }
    for (const hardware of new Set(book.map((one) => one.hardware))) {
      const own = book.filter((one) => one.hardware === hardware);
      const { max } = this.core.settings.classes[hardware] ?? { max: 8 };
      if (own.length > max) wrongs.push(`${own.length} machines of ${hardware}, and at most ${max} are allowed`);
    }
    for (const [hardware, { last }] of this.core.classes) {
      const own = book.filter((one) => one.hardware === hardware && isWorking(one));
      const { spot, onDemand } = last?.plan.wanted ?? { spot: 0, onDemand: 0 };
      if (own.some(({ id }) => !this.#ordered.has(id)) && own.length > spot + onDemand)
        wrongs.push(`${own.length} machines of ${hardware} were ordered for a demand of ${spot + onDemand}`);
    }
    for (const { id } of book) this.#ordered.add(id);
    for (const room of this.rooms) {
      for (const machine of room.real.values()) {
        const known = this.core.book.get(machine.name.slice(PREFIX.length));
        const isWanted = known !== undefined && known.state !== "gone";
        const isHeard = room.illness !== "away" && room.illness !== "lies";
        if (isWanted || !isHeard) machine.orphanSinceS = null;
        else machine.orphanSinceS ??= this.nowS;
        if (this.nowS - (machine.orphanSinceS ?? this.nowS) > LONGEST_ORPHAN_S)
          wrongs.push(`${machine.name} of ${room.name} is wanted by nobody, and is still there`);
      }
    }
    const { min = 0 } = this.core.settings.classes["cpu"] ?? {};
    const isOffered = this.rooms.some(
      ({ illness, changedS }) => illness === null && this.nowS - changedS > RECOVERED_S,
    );
    const working = book.filter((one) => one.hardware === "cpu" && isWorking(one)).length;
    this.#belowMinS = working < min && isOffered && this.nowS > RECOVERED_S ? this.#belowMinS + 1 : 0;
    if (this.#belowMinS > 2 * SYNC_EVERY_S)
      wrongs.push(`${working} machines of cpu, and at least ${min} are asked for`);
    return wrongs;
  }
}
