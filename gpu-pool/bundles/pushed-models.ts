/**
 * Which pushed models this pool serves: the edge says it when the channel opens, when it nudges, and every minute while
 * something is still to be done or the pool has no model at all. What it names is fetched, offered and, where requests
 * may come for it, made ready; what it names no more is retired.
 */
import type { Logger } from "pino";
import { MAX_POOL_MODELS } from "../../src/contract/channel.ts";
import { modelPath } from "../../src/contract/manifest.ts";
import type { DesiredModels } from "../../src/contract/push.ts";
import { MAX_PROBLEM_CHARS, MAX_PROBLEM_LOG_CHARS } from "../../src/contract/push.ts";
import type { VersionProblem } from "../../src/contract/push.ts";
import type { ModelSet } from "../model-set.ts";
import { bundlesFolder } from "../runtime/environments/folder.ts";
import { isDiskFull } from "../runtime/environments/disk-full.ts";
import type { SetupProblem } from "../runtime/instance.ts";
import { refusalOf } from "../runtime/isolation/trusted.ts";
import type { IsolationState } from "../runtime/isolation/types.ts";
import type { ModelRunner } from "../runtime/model-runner.ts";
import type { Model } from "../runtime/models/model.ts";
import { fetchSecrets } from "../runtime/models/model-secrets.ts";
import { restWhileAway } from "../rest-while-away.ts";
import type { Clock } from "../scheduling/clock.ts";
import { versionKey } from "../version-key.ts";
import { ContentFetcher } from "./content-fetcher.ts";
import { Contents } from "./contents.ts";
import { EdgeFiles } from "./edge-files.ts";
import { ModelFolders } from "./model-folders.ts";
import { isNoFault, messageOf } from "./problems.ts";
import { asFetchProblem, PushedModel } from "./pushed-model.ts";
import type { WeightRules } from "./weights.ts";
import type { Settings } from "../settings.ts";
import type { HttpClient } from "../transport/http-client.ts";

/** What opens gated repositories of Hugging Face, where a model names it among its secrets. */
const HF_TOKEN = "HF_TOKEN";
const AGAIN_MS = 60_000;
const TOO_MANY = `a pool offers ${MAX_POOL_MODELS} versions at most: the oldest of the pushed ones are left out`;

type Desired = DesiredModels["models"][number];

/**
 * `model` null: it isn't offered yet. `isDone`: nothing is left to be tried, unless it failed and is asked for anew.
 */
type Entry = {
  desired: Desired;
  pushed: PushedModel;
  model: Model | null;
  isDone: boolean;
  hasFailed: boolean;
  /** How often it could not be set up since it was pushed. */
  failures: number;
};

export type PushedModelsOptions = {
  http: HttpClient;
  clock: Clock;
  log: Logger;
  models: ModelSet;
  settings: Settings;
  /** Tells this pool from the others of the host. */
  poolId: string;
  isolation: IsolationState;
  /** The host's GPUs are about to be needed. */
  onUsesGpu(): Promise<void>;
  isOpen(): boolean;
};

export class PushedModels {
  readonly #options: PushedModelsOptions;
  readonly #edge: EdgeFiles;
  readonly #entries = new Map<string, Entry>();
  #stores: { fetcher: ContentFetcher; folders: ModelFolders } | null = null;
  #isAsking = false;
  #isDue = false;
  /** Owners one of whose models is being made ready. */
  readonly #preparing = new Set<string>();
  /** Those that were made ready, or could not be, since the edge was asked last. */
  readonly #tried = new Set<Entry>();
  #isClosed = false;
  #cancelTimer: () => void = () => {};

  constructor(options: PushedModelsOptions) {
    this.#options = options;
    this.#edge = new EdgeFiles(options.http, options.isolation.kind);
  }

  /** The edge has news, or may have: what it says is asked, once more where that is under way. */
  ask(): void {
    this.#isDue = true;
    if (this.#isAsking || this.#isClosed) return;
    this.#isAsking = true;
    void this.#askWhileDue().finally(() => (this.#isAsking = false));
  }

  /** A model could not be set up: where it was pushed, its owner hears of it. */
  async broken(model: Model, { message, traceback }: SetupProblem): Promise<void> {
    const entry = this.#entries.get(versionKey(model.manifest));
    // A disk that is full is this host's trouble, and so is that its pool ends while files come.
    if (this.#isClosed || entry?.model !== model || isDiskFull(message)) return;
    entry.hasFailed = true;
    const { stage, lines } = model.course ?? { stage: "setup" as const, lines: [] };
    await this.#tell(entry, stage, message, [...lines, traceback].join("\n"));
  }

  /** Asks and fetches nothing more. */
  stop(): void {
    this.#isClosed = true;
    this.#cancelTimer();
    for (const { pushed } of this.#entries.values()) pushed.stop();
  }

  /** The pool ends: the folders of its models are gone, what was fetched stays. */
  async close(): Promise<void> {
    this.stop();
    await Promise.all(Array.from(this.#entries.values(), async ({ pushed }) => pushed.close()));
    await this.#stores?.folders.close();
  }

  async #askWhileDue(): Promise<void> {
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false;
      try {
        const desired = await this.#edge.desired();
        if (desired !== null) await this.#retireOthers(desired);
        const leftOut = (desired ?? []).filter((one) => !this.#note(one)).length;
        if (leftOut > 0) this.#options.log.warn({ leftOut }, TOO_MANY);
        await this.#work();
      } catch (error) {
        this.#options.log.warn({ why: messageOf(error) }, "the edge did not say which models were pushed; trying on");
        this.#askAgain();
      }
    }
  }

  /** False where this pool has no room for one more. */
  #note(desired: Desired): boolean {
    const key = versionKey(desired.manifest);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      // What failed is tried again when it was pushed again: the edge nudges for others, too.
      if (desired.pushedAt !== known.desired.pushedAt) [known.hasFailed, known.failures] = [false, 0];
      known.desired = desired;
      // Another pool may have set it up.
      if (known.model !== null && !desired.isPending) known.model.awaitsSetUp = false;
      known.isDone = known.hasFailed;
      return true;
    }
    if (this.#options.models.find(desired.manifest) !== undefined) return true;
    if (!this.#hasRoom()) return false;
    const { isolation, settings } = this.#options;
    const refusal = refusalOf(desired.manifest.owner, isolation, settings["trusted-owners"]);
    if (refusal !== null) {
      this.#options.log.warn({ model: modelPath(desired.manifest) }, refusal);
      return true;
    }
    const pushed = new PushedModel(desired.manifest, {
      ...this.#open(),
      edge: this.#edge,
      rulesOf: async (manifest, model) => this.#rulesOf(manifest, model),
    });
    this.#entries.set(key, { desired, pushed, model: null, isDone: false, hasFailed: false, failures: 0 });
    return true;
  }

  /** Whether one more may be offered beside those of folders, and those that are on their way. */
  #hasRoom(): boolean {
    const others = this.#options.models.offered.filter(({ model }) => !this.#entries.has(versionKey(model.manifest)));
    return others.length + this.#entries.size < MAX_POOL_MODELS;
  }

  async #retireOthers(desired: readonly Desired[]): Promise<void> {
    const wanted = new Set(desired.map(({ manifest }) => versionKey(manifest)));
    for (const [key, { desired: before, pushed }] of this.#entries) {
      if (wanted.has(key)) continue;
      this.#entries.delete(key);
      this.#options.log.info({ model: modelPath(before.manifest), version: before.manifest.version }, "retired");
      // What runs may take long, and nothing waits for it.
      void this.#options.models.retire(before.manifest).then(async () => pushed.close());
    }
    return Promise.resolve();
  }

  /** First all are known, then those that requests may come for are made ready. */
  async #work(): Promise<void> {
    const unknown = [...this.#entries.values()].filter(({ isDone, model }) => !isDone && model === null);
    for (const entry of unknown) if (!this.#isDue) await this.#offer(entry);
    this.#prepare();
    const isIdle = this.#options.models.lanes.length === 0;
    if (isIdle || [...this.#entries.values()].some(({ isDone }) => !isDone)) this.#askAgain();
  }

  /** Weights may come for hours: neither what the edge says meanwhile waits for them, nor models of other owners. */
  #prepare(): void {
    this.#tried.clear();
    for (const owner of new Set(Array.from(this.#entries.values(), ({ desired }) => desired.manifest.owner))) {
      if (this.#preparing.has(owner)) continue;
      this.#preparing.add(owner);
      void this.#makeReadyOf(owner).finally(() => this.#preparing.delete(owner));
    }
  }

  /** One after the other. */
  async #makeReadyOf(owner: string): Promise<void> {
    const isNext = (one: Entry): boolean =>
      one.desired.manifest.owner === owner && !one.isDone && one.model !== null && !this.#tried.has(one);
    const next = (): Entry | undefined => [...this.#entries.values()].find(isNext);
    for (let entry = next(); entry !== undefined && !this.#isClosed; entry = next()) {
      this.#tried.add(entry);
      if (entry.model !== null) await this.#makeReady(entry, entry.model);
    }
  }

  async #offer(entry: Entry): Promise<void> {
    const { manifest } = entry.desired;
    try {
      const model = await entry.pushed.open();
      if (model.usesGpu) await this.#options.onUsesGpu();
      model.awaitsSetUp = entry.desired.isPending;
      // It may have been taken back meanwhile, or the pool ends.
      if (this.#entries.get(versionKey(manifest)) !== entry || this.#isClosed) return await entry.pushed.close();
      const runner = this.#options.models.add(model);
      model.complete = async (say) => this.#complete(entry, runner, say);
      entry.model = model;
      this.#options.log.info({ model: modelPath(manifest), version: manifest.version }, "a pushed model is served");
    } catch (error) {
      await this.#failed(entry, error);
    }
  }

  async #makeReady(entry: Entry, model: Model): Promise<void> {
    const { desired, pushed } = entry;
    if (!desired.isLive) {
      entry.isDone = true;
      return;
    }
    try {
      await pushed.complete((line) => this.#options.log.info({ model: modelPath(desired.manifest) }, line));
      entry.isDone = true;
      // A process tells its signature, and whether it can be set up.
      if (model.awaitsSetUp === true) this.#options.models.find(desired.manifest)?.warm();
    } catch (error) {
      await this.#failed(entry, error);
    }
  }

  /** What its process needs is fetched before it starts. */
  async #complete({ pushed }: Entry, runner: ModelRunner, say: (line: string) => void): Promise<string[]> {
    const { clock } = this.#options;
    const files = pushed.complete(say).catch((error: unknown) => {
      throw isNoFault(error) ? error : asFetchProblem(error);
    });
    return restWhileAway(files, isNoFault, () => ({ runner, model: runner.model, clock }));
  }

  /** A disk that takes nothing, and an edge that is away, are no fault of the model: it is tried again. */
  async #failed(entry: Entry, error: unknown): Promise<void> {
    const { manifest } = entry.desired;
    const what = { model: modelPath(manifest), version: manifest.version, why: messageOf(error) };
    if (this.#isClosed || this.#entries.get(versionKey(manifest)) !== entry) return;
    if (isNoFault(error)) {
      this.#options.log.warn(what, "a pushed model can't be fetched for now; trying on");
      return;
    }
    [entry.isDone, entry.hasFailed] = [true, true];
    this.#options.log.error(what, "a pushed model can't be served here");
    await this.#tell(entry, "fetch", messageOf(error), "");
  }

  async #tell(entry: Entry, stage: VersionProblem["stage"], message: string, log: string): Promise<void> {
    entry.failures += 1;
    const problem = message.slice(0, MAX_PROBLEM_CHARS) || "no reason was given";
    const lines = log.trim().slice(-MAX_PROBLEM_LOG_CHARS);
    const againInMs = await this.#edge.tell(entry.desired.manifest, {
      ...{ stage, problem, log: lines },
      tries: entry.failures,
    });
    if (againInMs !== null) this.#options.clock.after(againInMs, () => this.#tryAgain(entry));
  }

  /** What failed may be this host's trouble, and have passed. */
  #tryAgain(entry: Entry): void {
    if (this.#isClosed || !entry.hasFailed || this.#entries.get(versionKey(entry.desired.manifest)) !== entry) return;
    [entry.hasFailed, entry.isDone] = [false, false];
    this.ask();
  }

  #askAgain(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.after(AGAIN_MS, () => {
      if (this.#options.isOpen()) this.ask();
    });
  }

  async #rulesOf(manifest: Desired["manifest"], model: Model | null): Promise<Omit<WeightRules, "signal">> {
    const hasToken = model?.cog.edgeplane.secrets.includes(HF_TOKEN) === true;
    const secrets = hasToken ? await fetchSecrets(this.#options.http, manifest, [HF_TOKEN]) : {};
    const huggingFace = process.env["HF_ENDPOINT"];
    return {
      allowLoopback: this.#options.settings["allow-loopback-inputs"],
      token: secrets[HF_TOKEN] ?? null,
      ...(huggingFace === undefined || huggingFace === "" ? {} : { huggingFace }),
    };
  }

  #open(): { fetcher: ContentFetcher; folders: ModelFolders } {
    if (this.#stores !== null) return this.#stores;
    const { settings } = this.#options;
    const root = bundlesFolder(settings["bundles-dir"], settings["state-dir"]);
    this.#stores = {
      fetcher: new ContentFetcher({
        contents: new Contents(root),
        budgetBytes: settings["bundles-bytes"],
        leastFreeBytes: settings["min-free-disk-bytes"],
      }),
      folders: new ModelFolders(root, this.#options.poolId),
    };
    return this.#stores;
  }
}
