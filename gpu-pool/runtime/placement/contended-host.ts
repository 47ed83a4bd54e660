/**
 * For tests: a host whose cards take one process each, and the pool's own runners of several models, whose processes
 * are fake (fake-process.ts). Before it is an edge that hands out the room that it was told, to whichever account has
 * had least of a model so far.
 */
import { ManifestSchema } from "../../../src/contract/manifest.ts";
import type { Clock } from "../../scheduling/clock.ts";
import { roomsOf, startQuotas } from "../../scheduling/room.ts";
import type { ModelLoad } from "../../scheduling/room.ts";
import type { DeviceWatch } from "../devices/device-watch.ts";
import { CogYamlSchema } from "../environments/cog-yaml.ts";
import { ModelRunner } from "../model-runner.ts";
import type { Model } from "../models/model.ts";
import { Postponed } from "../postponed.ts";
import { createPrediction } from "../prediction.ts";
import type { Reporter } from "../prediction.ts";
import { HostPlacer } from "./host-placer.ts";
import type { SeenDevice } from "./placeable.ts";

const CARD_BYTES = 10;
/** What a message takes from the pool to the edge, or back. */
const WAY_MS = 10;
const SWEEP_MS = 200;
const AHEAD_BATCHES = 32;

/**
 * Of a model: how long a process loads, and a prediction runs; `hint`: its author says what it takes (default).
 * `postponedMs`: after this it turns out that its processes can't be started for now. `failsOn`: a card on which its
 * set-up fails. `preparesMs`: how long it takes to bring what its processes need, or to find out that it can't be
 * (`isUnpreparable`).
 */
export type Times = {
  loadMs: number;
  runMs: number;
  hint?: boolean;
  pinned?: boolean;
  postponedMs?: number;
  failsOn?: string;
  preparesMs?: number;
  isUnpreparable?: boolean;
};
/** One prediction at the edge. `endedAtMs`: null until it has run. */
export type Asked = { account: string; model: string; atMs: number; endedAtMs: number | null; handedBack: number };

/** `room`: as the edge knows it. `had`: how many each account was granted and did not get back. */
type Served = { runner: ModelRunner; room: number; waiting: Asked[]; had: Map<string, number> };

export class ContendedHost {
  /** All that was ever asked. */
  readonly asked: Asked[] = [];
  readonly #clock: Clock;
  readonly #served = new Map<string, Served>();
  readonly #granted = new Map<string, Asked>();
  readonly #cards: readonly string[];
  readonly #placer: HostPlacer;
  readonly #fenced = new Set<string>();
  #grants = 0;
  #isTelling = false;

  constructor(clock: Clock, cards: number, models: Readonly<Record<string, Times>>) {
    this.#clock = clock;
    this.#cards = Array.from({ length: cards }, (_, index) => String(index));
    this.#placer = new HostPlacer({
      clock: this.#clock,
      devices: () => this.#devices(),
      look: async () => this.#placer.looked(),
      onBlocked: () => this.#tellSoon(),
    });
    for (const [name, times] of Object.entries(models))
      this.#served.set(name, { runner: this.#runner(name, times), room: 0, waiting: [], had: new Map() });
    this.#tellSoon();
    this.#sweep();
  }

  get nowMs(): number {
    return this.#clock.nowMs();
  }

  /** Nothing new may be put on this card, as a look finds. */
  fence(card: string): void {
    this.#fenced.add(card);
    this.look();
  }

  /** The cards are looked at, as they are from time to time. */
  look(): void {
    this.#placer.looked();
    for (const runner of this.#runners) runner.hostChanged();
  }

  /** The cards that its processes are on. */
  cardsOf(model: string): string[] {
    return (this.#served.get(model)?.runner.instances.placed ?? []).flatMap(({ devices }) => devices);
  }

  /** It is served no more: what runs of it goes on. */
  leave(model: string): void {
    this.#served.get(model)?.runner.leave();
  }

  /** Why it can't be set up here. */
  problemOf(model: string): string | null {
    return this.#served.get(model)?.runner.problem?.message ?? null;
  }

  /** Its processes die. */
  kill(model: string): void {
    for (const { process } of this.#served.get(model)?.runner.instances.all ?? [])
      process?.kill("it exited with code 1");
  }

  /** What the pool says that it has room for. */
  roomOf(model: string): number {
    return this.#rooms().get(model) ?? 0;
  }

  /** How many of its predictions lie with the pool. */
  heldOf(model: string): number {
    return this.#served.get(model)?.runner.held ?? 0;
  }

  /** How many processes of it have a place. */
  placesOf(model: string): number {
    return this.#served.get(model)?.runner.instances.placed.length ?? 0;
  }

  submit(account: string, model: string): void {
    const asked = { account, model, atMs: this.nowMs, endedAtMs: null, handedBack: 0 };
    this.asked.push(asked);
    this.#served.get(model)?.waiting.push(asked);
    this.#grantAll();
  }

  /** Sees to it that so many of this account's wait at the edge. */
  flood(account: string, model: string, count: number): void {
    const waiting = this.#served.get(model)?.waiting.length ?? 0;
    for (let index = waiting; index < count; index += 1) this.submit(account, model);
  }

  /** Ends its processes when they have run what they run. */
  end(model: string): void {
    for (const instance of this.#served.get(model)?.runner.instances.placed ?? []) instance.retire();
  }

  get #runners(): ModelRunner[] {
    return Array.from(this.#served.values(), ({ runner }) => runner);
  }

  #devices(): SeenDevice[] {
    const instances = this.#runners.flatMap((runner) => runner.instances.all);
    return this.#cards.map((id) => {
      const living = instances.filter(({ process, devices }) => process !== null && devices.includes(id));
      const usedBytes = living.length * CARD_BYTES;
      if (usedBytes > CARD_BYTES) throw new Error(`card ${id} has ${living.length} processes`);
      const problem = this.#fenced.has(id) ? `GPU ${id} has uncorrected memory errors` : null;
      return { id, kind: "cuda", memoryBytes: CARD_BYTES, usedBytes, problem };
    });
  }

  #runner(name: string, times: Times): ModelRunner {
    const { loadMs, runMs, hint = true, pinned = false, postponedMs, failsOn = "" } = times;
    const { preparesMs, isUnpreparable = false } = times;
    const launch = {
      ...{ python: "python3", modelDir: "", childPath: "", childModule: "m", slots: 1, scratchDir: "", jail: null },
      ...{ setupTimeoutMs: 60_000, silenceMs: 60_000, progressMs: null, healthEveryMs: 60_000 },
      env: { LOAD_MS: String(loadMs), RUN_MS: String(runMs), FAILS_ON: failsOn },
    };
    const devices = { report: { cuda: this.#cards }, refusalOf: () => null } as unknown as DeviceWatch;
    const wait = (delayMs: number): Promise<void> => new Promise((resolve) => this.#clock.after(delayMs, resolve));
    const prepare = async (): Promise<void> => {
      if (preparesMs !== undefined) await wait(preparesMs);
      if (isUnpreparable) throw new Error("pip could not install it");
    };
    let preparation: Promise<void> | null = null;
    const prepareAhead = (): Promise<void> => (preparation ??= prepare());
    const start = async (): Promise<typeof launch> => {
      await prepareAhead();
      if (postponedMs === undefined) return launch;
      await wait(postponedMs);
      throw new Postponed("its files can't be had for now");
    };
    const nothing = (): void => {};
    const runner: ModelRunner = new ModelRunner({
      ...{ label: name, model: modelOf(name, hint, pinned), placer: this.#placer, clock: this.#clock },
      ...{ devices, report: this.#report() as Reporter },
      ...{
        meter: { lives: nothing, begin: nothing, off: nothing },
        ...{ launch: start, prepareAhead },
      },
      ...{ prepare: () => null, cancelGraceMs: 1000, aheadBatches: AHEAD_BATCHES, shortage: () => null },
      startQuota: () => startQuotas(this.#loads())[this.#runners.indexOf(runner)] ?? 0,
      ...{ onDiskFull: nothing, onLoaded: nothing, onRoom: () => this.#tellSoon(), onEnded: nothing },
      observe: {
        ...{ batch: nothing, ran: nothing, ended: nothing, bisected: nothing, ready: nothing },
        ...{ died: nothing, broken: nothing, printed: nothing },
      },
    });
    return runner;
  }

  #report(): Partial<Reporter> {
    return {
      starting: ({ token }) => {
        this.#clock.after(2 * WAY_MS, () => {
          for (const runner of this.#runners) runner.started(token);
        });
      },
      succeeded: ({ token }) => {
        this.#take(token).endedAtMs = this.nowMs;
      },
      released: ({ token }) => this.#handedBack(this.#take(token)),
      // Its process died: it is granted again.
      failed: ({ token }) => this.#handedBack(this.#take(token)),
    };
  }

  /** The pool holds it no more. */
  #take(token: string): Asked {
    const asked = this.#granted.get(token);
    if (asked === undefined) throw new Error(`${token} ended twice`);
    this.#granted.delete(token);
    this.#tellSoon();
    return asked;
  }

  #handedBack(asked: Asked): void {
    asked.handedBack += 1;
    this.#clock.after(WAY_MS, () => {
      const served = this.#served.get(asked.model);
      served?.had.set(asked.account, (served.had.get(asked.account) ?? 0) - 1);
      served?.waiting.unshift(asked);
      this.#grantAll();
    });
  }

  #loads(): ModelLoad[] {
    return this.#runners.map((runner) => runner.load());
  }

  #rooms(): Map<string, number> {
    const rooms = roomsOf(this.#loads(), AHEAD_BATCHES);
    return new Map(Array.from(this.#served.keys(), (name, index) => [name, rooms[index]?.room ?? 0]));
  }

  /** The edge hears of room some time after something has changed. */
  #tellSoon(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#clock.after(WAY_MS, () => {
      this.#isTelling = false;
      const rooms = this.#rooms();
      for (const [name, served] of this.#served) served.room = rooms.get(name) ?? 0;
      this.#grantAll();
    });
  }

  #grantAll(): void {
    for (const served of this.#served.values()) {
      while (served.room > 0 && served.waiting.length > 0) {
        served.room -= 1;
        this.#grant(served);
      }
    }
  }

  #grant({ runner, waiting, had }: Served): void {
    const hadOf = ({ account }: Asked): number => had.get(account) ?? 0;
    const next = waiting.reduce((least, asked) => (hadOf(asked) < hadOf(least) ? asked : least));
    waiting.splice(waiting.indexOf(next), 1);
    had.set(next.account, hadOf(next) + 1);
    this.#grants += 1;
    const token = `t${this.#grants}`;
    this.#granted.set(token, next);
    const { owner, name, version } = runner.model.manifest;
    const grant = {
      ...{ id: token, token, verdict: "granted" as const, attempt: 1, startNow: false, alone: false, cost: 1, seq: 0 },
      ...{ model: { owner, name, version }, startInMs: Infinity, endInMs: Infinity, stream: false },
    };
    runner.accept(createPrediction(grant, this.nowMs));
  }

  #sweep(): void {
    this.#clock.after(SWEEP_MS, () => {
      for (const runner of this.#runners) runner.sweep(this.nowMs);
      this.#sweep();
    });
  }
}

function modelOf(name: string, hint: boolean, pinned: boolean): Model {
  return {
    ...{ dir: "", notesDir: "", written: [], configuration: {}, cost: null, slotsPerInstance: 1, usesGpu: true },
    files: {} as Model["files"],
    cog: CogYamlSchema.parse({ build: { gpu: true } }),
    manifest: ManifestSchema.parse({ owner: "local", name, version: "0".repeat(64), schema: {} }),
    batching: { maxBatchSize: 1, maxQueueDelayMs: 0 },
    placement: {
      count: null,
      devices: null,
      devicesPerInstance: 1,
      memoryHint: hint ? CARD_BYTES : null,
      pinned,
    },
  };
}
