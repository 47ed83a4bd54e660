/**
 * Environments that pools have built, between this host and the edge. What another host built is unpacked in place of
 * being installed; what this one built is stored, where its token may: in the background, one after the other, slowly
 * while predictions run, and not at all while the host runs short.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { chunkSizes } from "../../src/contract/bundle.ts";
import { messageOf } from "../bundles/problems.ts";
import { runsOn } from "../runtime/environments/layer-key.ts";
import type { LayerWish } from "../runtime/environments/layer-key.ts";
import type { BuiltHere, Layers, StoredEnvironment } from "../runtime/environments/layers.ts";
import { tryLock } from "../runtime/host-lock.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { EdgeLayers } from "./edge-layers.ts";
import { fetchLayer } from "./layer-fetch.ts";
import type { FetchOptions } from "./layer-fetch.ts";
import { chunkLength, NotPortable, piecesOf, planLayer } from "./plan-layer.ts";
import type { LayerPlan } from "./plan-layer.ts";

/** While predictions run, work on an environment takes a tenth of the time. */
const REST_FOR_WORK = 9;
const MOST_REST_MS = 2000;
const LOOK_AGAIN_MS = 1000;
const SEND_TRIES = 6;

export type LayersOptions = {
  http: HttpClient;
  log: Logger;
  environmentsDir: string;
  budgetBytes: number;
  leastFreeBytes: number;
  /** Predictions run here, or a process is being made ready. */
  isBusy(): boolean;
  /** The host runs short of something. */
  isShort(): boolean;
  /** Tests judge sooner, and wait less. */
  waits?: Pick<FetchOptions, "pause" | "judgeAfterMs" | "patienceMs"> & { lookAgainMs?: number };
};

/** What of it is shown. */
export type LayersState = {
  /** Whether this pool's token may store environments; null: it was not asked yet. */
  mayStore: boolean | null;
  unpacked: number;
  stored: number;
  /** Those that wait for their turn, with the one that is being stored. */
  waiting: number;
  /** How far that one is. */
  progress: string | null;
  /** Why the last one could not be unpacked or stored. */
  problem: string | null;
  /** Why the last one that no other host can use is none for others. */
  onlyHere: string | null;
};

export class EnvironmentLayers implements Layers {
  readonly #options: LayersOptions;
  readonly #edge: EdgeLayers;
  readonly #ended = new AbortController();
  /** Those that are done with in this life, by owner and key. */
  readonly #noted = new Set<string>();
  #last: Promise<void> = Promise.resolve();
  readonly state: LayersState = {
    ...{ mayStore: null, unpacked: 0, stored: 0, waiting: 0 },
    ...{ progress: null, problem: null, onlyHere: null },
  };

  constructor(options: LayersOptions) {
    this.#options = options;
    this.#edge = new EdgeLayers(options.http);
  }

  async find(wish: LayerWish): Promise<StoredEnvironment | null> {
    const found = await this.#edge.find(wish);
    if (found === null) return null;
    this.state.mayStore = found.mayStore;
    const { layer } = found;
    if (layer === null) return null;
    this.#noted.add(nameOf(wish));
    if (!runsOn(layer.about.compiledFor, wish.host)) return null;
    return {
      bytes: layer.bytes,
      unpack: async (dir, say) => {
        const { environmentsDir, budgetBytes, leastFreeBytes, waits = {} } = this.#options;
        const limits = { environmentsDir, budgetBytes, leastFreeBytes };
        try {
          await fetchLayer(wish, layer, dir, say, {
            ...{ ...limits, ...waits, edge: this.#edge, signal: this.#ended.signal },
          });
          this.state.unpacked += 1;
        } catch (error) {
          // Whoever builds it may store it anew.
          this.#noted.delete(nameOf(wish));
          this.state.problem = messageOf(error);
          throw error;
        }
      },
    };
  }

  offer(wish: LayerWish, built: BuiltHere): void {
    if (this.#noted.has(nameOf(wish)) || this.#ended.signal.aborted) return;
    this.#noted.add(nameOf(wish));
    this.state.waiting += 1;
    this.#last = this.#last
      .then(async () => this.#storeUnlessThere(wish, built))
      .catch((error: unknown) => this.#failed(wish, error))
      .finally(() => {
        this.state.waiting -= 1;
        this.state.progress = null;
      });
  }

  keepHere(why: string): void {
    this.state.onlyHere = why;
  }

  /** Nothing more is fetched or stored. What was sent of an environment stays a day, and is not sent again. */
  stop(): void {
    this.#ended.abort(new Error("the pool ends"));
  }

  /** All that were offered until now are stored, or can't be. */
  async settled(): Promise<void> {
    return this.#last;
  }

  #failed(wish: LayerWish, error: unknown): void {
    if (this.#ended.signal.aborted) return;
    const why = messageOf(error);
    this.state.problem = why;
    if (error instanceof TransportError) this.#noted.delete(nameOf(wish));
    const what = { owner: wish.owner, environment: wish.key.slice(0, 12), why };
    if (error instanceof NotPortable) this.#options.log.info(what, "an environment is of no use to other hosts");
    else this.#options.log.warn(what, "an environment that was built here could not be stored for other hosts");
  }

  async #storeUnlessThere(wish: LayerWish, built: BuiltHere): Promise<void> {
    if (this.state.mayStore === false || this.#ended.signal.aborted) return;
    // Of the pools of a host one stores it.
    const lock = tryLock(join(this.#options.environmentsDir, ".layers", "locks", nameOf(wish)), "exclusive");
    if (lock === null) return;
    let release: (() => void) | null = null;
    try {
      const found = await this.#edge.find(wish);
      // An edge that is away may say so when a process starts next.
      if (found === null) this.#noted.delete(nameOf(wish));
      this.state.mayStore = found?.mayStore ?? this.state.mayStore;
      if (found?.layer !== null || !found.mayStore) return;
      release = built.hold();
      if (release !== null) await this.#store(wish, built);
    } finally {
      release?.();
      lock.release();
    }
  }

  async #store(wish: LayerWish, { dir, builtAtMs, buildMs }: BuiltHere): Promise<void> {
    const startedAt = performance.now();
    this.state.progress = "reading its files";
    await this.#rest(0);
    const plan = await planLayer({ dir, builtAtMs, rest: async (workedMs) => this.#rest(workedMs) });
    const sizes = chunkSizes(plan.bundle);
    const missing = await this.#trying(async () => this.#edge.missing(wish.owner, [...sizes.keys()]));
    const totalBytes = missing.reduce((sum, sha256) => sum + (sizes.get(sha256) ?? 0), 0);
    let sentBytes = 0;
    for (const sha256 of missing) {
      await this.#trying(async () => this.#send(wish.owner, sha256, plan));
      sentBytes += sizes.get(sha256) ?? 0;
      this.state.progress = `sent ${Math.floor((100 * sentBytes) / Math.max(1, totalBytes))} % of ${megabytes(totalBytes)}`;
    }
    const compiledFor = plan.compiled.length === 0 ? null : wish.host;
    const about = { ...wish.about, buildMs: Math.round(buildMs), compiledFor };
    await this.#trying(async () => this.#edge.store(wish, { bundle: plan.bundle, about }));
    this.state.stored += 1;
    const all = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#options.log.info(
      { owner: wish.owner, environment: wish.key.slice(0, 12), sent: megabytes(totalBytes), of: megabytes(all) },
      `the environment is stored for other hosts, after ${Math.round((performance.now() - startedAt) / 1000)} s`,
    );
  }

  async #send(owner: string, sha256: string, plan: LayerPlan): Promise<void> {
    const content = await plan.read(sha256);
    await this.#edge.send(owner, sha256, chunkLength(content), this.#slowly(content), this.#ended.signal);
  }

  async *#slowly(content: Parameters<typeof piecesOf>[0]): AsyncGenerator<Buffer> {
    let startedAt = performance.now();
    for await (const piece of piecesOf(content)) {
      yield piece;
      await this.#rest(performance.now() - startedAt);
      startedAt = performance.now();
    }
  }

  /** After work of so many milliseconds. Throws when the pool ends. */
  async #rest(workedMs: number): Promise<void> {
    const { signal } = this.#ended;
    const { waits: { lookAgainMs = LOOK_AGAIN_MS } = {} } = this.#options;
    signal.throwIfAborted();
    while (this.#options.isShort()) await sleep(lookAgainMs, undefined, { signal });
    if (this.#options.isBusy()) await sleep(Math.min(MOST_REST_MS, REST_FOR_WORK * workedMs), undefined, { signal });
  }

  /** An edge that is away comes back. */
  async #trying<T>(work: () => Promise<T>): Promise<T> {
    const backoff = createBackoff(this.#options.waits?.pause ?? { firstMs: 1000, capMs: 30_000 });
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const mayHeal = error instanceof TransportError || (error instanceof StatusError && error.mayHeal);
        if (!mayHeal || backoff.failures >= SEND_TRIES) throw error;
      }
      await sleep(backoff.nextMs(), undefined, { signal: this.#ended.signal });
    }
  }
}

const nameOf = ({ owner, key }: LayerWish): string => `${owner}-${key}`;
const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
