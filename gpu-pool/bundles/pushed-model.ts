/**
 * One pushed version on this pool: its code is fetched to know it, its weights before a process needs them.
 *
 *   new ── open() ──▶ known (offered) ── complete() ──▶ whole ── close() ──▶ gone
 */
import type { Bundle } from "../../src/contract/bundle.ts";
import type { Manifest } from "../../src/contract/manifest.ts";
import { readPushed } from "../runtime/models/find-models.ts";
import type { Model } from "../runtime/models/model.ts";
import type { ContentFetcher, Fetching } from "./content-fetcher.ts";
import { contentOf, ownId } from "./contents.ts";
import type { Content } from "./contents.ts";
import type { EdgeFiles } from "./edge-files.ts";
import type { ModelFolders } from "./model-folders.ts";
import { FetchProblem, messageOf } from "./problems.ts";
import { copyInto, layersOf, linkInto, writeInto } from "./unpack.ts";
import type { Placed } from "./unpack.ts";
import { findWeight } from "./weights.ts";
import type { WeightRules } from "./weights.ts";

const SAY_EVERY_MS = 5000;
/** A file that another pool took away between two steps is fetched again. */
const TRIES = 3;

export type PushedOptions = {
  edge: EdgeFiles;
  fetcher: ContentFetcher;
  folders: ModelFolders;
  /** From where weights that are named by reference may come. */
  rulesOf(manifest: Manifest, model: Model | null): Promise<Omit<WeightRules, "signal">>;
};

export class PushedModel {
  readonly manifest: Manifest;
  readonly #options: PushedOptions;
  readonly #closed = new AbortController();
  readonly #listeners = new Set<(line: string) => void>();
  #bundle: Bundle | null = null;
  #folder: string | null = null;
  #model: Model | null = null;
  #completing: Promise<string[]> | null = null;

  constructor(manifest: Manifest, options: PushedOptions) {
    this.manifest = manifest;
    this.#options = options;
  }

  /** Fetches what tells how it runs. Throws `FetchProblem`, `SourceAway`, `NoSpace`, or why its files are no model. */
  async open(): Promise<Model> {
    const { edge, folders } = this.#options;
    const bundle = await edge.bundle(this.manifest);
    const { code } = layersOf(bundle);
    const folder = await folders.make(this.manifest.version);
    try {
      await this.#bring(code, async () => copyInto(folder, code, this.#options.fetcher.contents));
      this.#closed.signal.throwIfAborted();
      const model = await readPushed(folder, this.manifest);
      [this.#bundle, this.#folder, this.#model] = [bundle, folder, model];
      return model;
    } catch (error) {
      await folders.remove(folder);
      throw error;
    }
  }

  /** Fetches the rest, once, whoever asks. Answers the files that nobody may change. */
  async complete(say: (line: string) => void): Promise<string[]> {
    this.#listeners.add(say);
    this.#completing ??= this.#complete().catch((error: unknown) => {
      this.#completing = null;
      throw error;
    });
    try {
      return await this.#completing;
    } finally {
      this.#listeners.delete(say);
    }
  }

  /** Fetches nothing more. */
  stop(): void {
    this.#closed.abort(new FetchProblem("this pool no longer serves this version"));
  }

  /** Nothing of it runs any more. */
  async close(): Promise<void> {
    this.stop();
    await this.#completing?.catch(() => {});
    if (this.#folder !== null) await this.#options.folders.remove(this.#folder);
    this.#folder = null;
  }

  async #complete(): Promise<string[]> {
    const [bundle, folder] = [this.#bundle, this.#folder];
    if (bundle === null || folder === null) throw new FetchProblem("its list of files has not come yet");
    const { weights } = layersOf(bundle);
    const own =
      weights.length === 0
        ? []
        : await this.#bring(weights, async () => linkInto(folder, weights, this.#options.fetcher.contents));
    return [...own, ...(await this.#bringNamed(folder))];
  }

  /** What its author names by reference. */
  async #bringNamed(folder: string): Promise<string[]> {
    const named = this.#model?.files.cog.edgeplane.weights ?? [];
    if (named.length === 0) return [];
    const { fetcher, rulesOf } = this.#options;
    const rules = { ...(await rulesOf(this.manifest, this.#model)), signal: this.#closed.signal };
    const linked: string[] = [];
    for (const weight of named) {
      const found = await findWeight(weight, rules);
      if ("bytes" in found) await writeInto(folder, found.path, found.bytes);
      else {
        const { bytes, chunks } = found.content;
        const id = ownId(this.manifest.owner, found.content.id);
        const file = { path: found.path, mode: 0o644 as const, bytes, chunks: [...chunks], id };
        const place = async () => linkInto(folder, [file], fetcher.contents);
        linked.push(...(await this.#bring([file], place, async (_, offset, signal) => found.open(offset, signal))));
      }
    }
    return linked;
  }

  async #bring<T>(files: readonly Placed[], place: () => Promise<T>, open = this.#openChunk): Promise<T> {
    const contents = files.flatMap((file) => contentOf(file) ?? []);
    for (let left = TRIES; ; left -= 1) {
      await this.#fetch(contents, open);
      try {
        return await place();
      } catch (error) {
        const isGone = error instanceof Error && "code" in error && error.code === "ENOENT";
        if (!isGone || left <= 1) throw error;
      }
    }
  }

  async #fetch(contents: readonly Content[], open: Fetching["open"]): Promise<void> {
    const { fetcher } = this.#options;
    const totalBytes = contents.reduce((sum, { bytes }) => sum + bytes, 0);
    let [gotBytes, saidAtMs] = [0, performance.now()];
    await fetcher.ensure(contents, {
      open,
      onBytes: (bytes) => {
        gotBytes += bytes;
        if (performance.now() - saidAtMs < SAY_EVERY_MS) return;
        saidAtMs = performance.now();
        const percent = Math.min(100, Math.floor((100 * gotBytes) / Math.max(1, totalBytes)));
        this.#say(`fetching its files: ${percent} % of ${Math.ceil(totalBytes / 1e6)} MB`);
      },
      signal: this.#closed.signal,
    });
  }

  readonly #openChunk: Fetching["open"] = async (sha256, offset, signal) =>
    this.#options.edge.chunk(this.manifest, sha256, offset, signal);

  #say(line: string): void {
    for (const say of this.#listeners) say(line);
  }
}

/** Why its files are no model, as its owner hears of it. */
export function asFetchProblem(error: unknown): FetchProblem {
  return error instanceof FetchProblem ? error : new FetchProblem(messageOf(error), { cause: error });
}
