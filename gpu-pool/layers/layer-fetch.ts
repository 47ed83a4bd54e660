/**
 * Fetches a layer and unpacks it. What came of one when the pool was killed is not fetched again; one that comes more
 * slowly than it could be built is given up.
 */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Bundle } from "../../src/contract/bundle.ts";
import type { Layer } from "../../src/contract/environment-layer.ts";
import { ContentFetcher } from "../bundles/content-fetcher.ts";
import { contentOf, Contents } from "../bundles/contents.ts";
import type { ChunkRequest } from "../bundles/fetch-chunk.ts";
import { FetchProblem, messageOf } from "../bundles/problems.ts";
import { withLock } from "../runtime/host-lock.ts";
import type { EdgeLayers, LayerName } from "./edge-layers.ts";
import { unpackLayer } from "./unpack-layer.ts";

const SAY_EVERY_MS = 5000;
/** Nothing is said of a pace before so long. */
const JUDGE_AFTER_MS = 10_000;
/** What is fetched within this time is worth it, however fast it could be built; so long nothing may come. */
const PATIENCE_MS = 60_000;
/** To build it costs its registry and this host's processors, too. */
const SLOWER_THAN_BUILDING = 2;

export type FetchOptions = {
  edge: EdgeLayers;
  /** What all environments of the host lie in. */
  environmentsDir: string;
  budgetBytes: number;
  /** So much stays free on the disk. */
  leastFreeBytes: number;
  signal: AbortSignal;
  pause?: ChunkRequest["pause"];
  /** Tests judge sooner. */
  judgeAfterMs?: number;
  patienceMs?: number;
};

/** Throws `FetchProblem`, `SourceAway`, `NoSpace`, or what the disk said. */
export async function fetchLayer(
  name: LayerName,
  layer: Layer,
  dir: string,
  say: (line: string) => void,
  options: FetchOptions,
): Promise<void> {
  const { edge, environmentsDir, budgetBytes, leastFreeBytes, pause } = options;
  // Each owner's by themselves: nobody waits for another's, and nobody's comes from another's.
  const folder = join(environmentsDir, ".layers", createHash("sha256").update(name.owner).digest("hex").slice(0, 16));
  const contents = new Contents(folder);
  const limits = {
    budgetBytes,
    budgetFlag: "--environments-bytes",
    leastFreeBytes,
    ...(pause === undefined ? {} : { pause }),
  };
  const fetcher = new ContentFetcher({ contents, ...limits });
  await withLock(
    contents.lockOf("unpack"),
    () => say("another environment of this owner is unpacked first"),
    async () => {
      try {
        const bundle = await edge.list(name.owner, layer);
        await fetchAll(name.owner, layer, bundle, fetcher, say, options);
        await unpackLayer(dir, bundle, contents);
      } catch (error) {
        if (error instanceof FetchProblem && error.chunk !== null && (await edge.tell(name, error.chunk)))
          say("a stored environment is broken, and was taken away");
        throw error;
      } finally {
        // It is unpacked, or is built next: what came is of no use any more. A pool that ends leaves it to its next
        // life.
        if (!options.signal.aborted)
          for (const part of ["contents", "partial"]) await rm(join(folder, part), { recursive: true, force: true });
      }
    },
  );
}

async function fetchAll(
  owner: string,
  layer: Layer,
  bundle: Bundle,
  fetcher: ContentFetcher,
  say: (line: string) => void,
  { edge, signal, judgeAfterMs = JUDGE_AFTER_MS, patienceMs = PATIENCE_MS }: FetchOptions,
): Promise<void> {
  const wanted = bundle.files.flatMap((file) => contentOf(file) ?? []);
  const totalBytes = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
  const startedAt = performance.now();
  const slow = new AbortController();
  let [gotBytes, gotAt, saidAt] = [0, startedAt, startedAt];
  const look = (): void => {
    const now = performance.now();
    const tookMs = now - startedAt;
    if (now - gotAt > patienceMs)
      slow.abort(new FetchProblem(`nothing came for ${Math.round((now - gotAt) / 1000)} s: to build it is faster`));
    if (tookMs >= judgeAfterMs) {
      const leftMs = (tookMs * (totalBytes - gotBytes)) / Math.max(1, gotBytes);
      if (leftMs > Math.max(patienceMs, SLOWER_THAN_BUILDING * layer.about.buildMs))
        slow.abort(new FetchProblem(`it would come for another ${Math.round(leftMs / 1000)} s: to build it is faster`));
    }
    if (now - saidAt < SAY_EVERY_MS) return;
    saidAt = now;
    const percent = Math.min(100, Math.floor((100 * gotBytes) / Math.max(1, totalBytes)));
    say(`fetching the environment: ${percent} % of ${Math.ceil(totalBytes / 1e6)} MB`);
  };
  const looking = setInterval(look, Math.min(1000, judgeAfterMs));
  try {
    await fetcher.ensure(wanted, {
      open: async (sha256, offset, stop) => edge.chunk(owner, sha256, offset, stop),
      onBytes(bytes) {
        gotBytes += bytes;
        gotAt = performance.now();
      },
      signal: AbortSignal.any([signal, slow.signal]),
    });
  } catch (error) {
    if (slow.signal.aborted && slow.signal.reason instanceof Error) throw slow.signal.reason;
    throw error instanceof Error ? error : new Error(messageOf(error));
  } finally {
    clearInterval(looking);
  }
}
