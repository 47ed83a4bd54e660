/**
 * What a layer's index says: which file of the environment lies where in the layer's files. Those are packs of small
 * files, one behind the other, and large files by themselves.
 *
 * The index comes from another host. What it names stays within the environment's folder: paths are relative and go
 * nowhere back, and links lead to files of the environment alone.
 */
import { posix } from "node:path";
import { setImmediate as otherWork } from "node:timers/promises";
import * as z from "zod";
import { MAX_BUNDLE_BYTES, pathProblem } from "../../src/contract/bundle.ts";

/** The layer's files, by their paths in its bundle. */
export const INDEX_PATH = "index.json";
export const packPath = (number: number): string => `pack-${String(number).padStart(5, "0")}`;
export const largePath = (number: number): string => `file-${String(number).padStart(5, "0")}`;

/** What stands in the packs for the path of the environment's folder. */
export const PLACEHOLDER = "@@EDGEPLANE-ENVIRONMENT@@";
export const MAX_ENTRIES = 400_000;
/** Entries of it are read so many at a time, which takes some milliseconds. */
const AT_ONCE = 500;

/** What every bare environment has: it is made anew on each host. */
export const BARE =
  /^(?:pyvenv\.cfg|edgeplane\.json|lib64|\.gitignore|CACHEDIR\.TAG|\.lock|bin\/(?:python[\d.]*|activate.*|Activate\.ps1))$/;
/** Of these, what is a link to a folder. */
const BARE_LINK = "lib64";

const PathSchema = z.string().refine((path) => pathProblem(path) === null, "is no path within an environment");
const Bytes = z.int().min(0).max(MAX_BUNDLE_BYTES);

/** A file of a pack, or a large one (`at` 0). `hasDir`: the environment's own path stands in it. */
const FileSchema = z.object({
  path: PathSchema,
  isProgram: z.boolean(),
  /** In seconds since the epoch: compiled Python names the time of its source. */
  mtime: z
    .int()
    .min(0)
    .max(2 ** 40),
  from: z.string(),
  at: Bytes,
  bytes: Bytes,
  hasDir: z.boolean(),
});
const LinkSchema = z
  .object({ path: PathSchema, target: z.string().min(1) })
  .refine(({ path, target }) => isInside(path, target), "leads out of the environment");

const Entries = z.array(z.unknown()).max(MAX_ENTRIES);
const OuterSchema = z.object({ files: Entries, links: Entries });
type LinkEntry = z.infer<typeof LinkSchema>;
export type IndexedFile = z.infer<typeof FileSchema>;
export type LayerIndex = { files: IndexedFile[]; links: LinkEntry[] };

/** Reads an index of up to hundreds of thousands of files, a few at a time. Throws for what is none. */
export async function readLayerIndex(text: string): Promise<LayerIndex> {
  const outer = OuterSchema.parse(JSON.parse(text));
  const files = await mapInTurns(outer.files, (file) => FileSchema.parse(file));
  const links = await mapInTurns(outer.links, (link) => LinkSchema.parse(link));
  const check = pathCheck(links);
  const wrong = await mapInTurns([...files, ...links], ({ path }) => check(path));
  const problem = wrong.find((one) => one !== null) ?? throughLink(links);
  if (problem !== null) throw new Error(problem);
  return { files, links };
}

/** Between its turns others have theirs: the pool keeps its leases on the same thread. */
async function mapInTurns<T, R>(items: readonly T[], map: (item: T) => R): Promise<R[]> {
  const mapped: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    mapped.push(...items.slice(at, at + AT_ONCE).map(map));
    await otherWork();
  }
  return mapped;
}

/**
 * What an index must not name, as a sentence; null: nothing of that. Below a link, or through one, a path may lead
 * elsewhere than it says, so no path does either.
 */
export function indexProblem({ files, links }: LayerIndex): string | null {
  const check = pathCheck(links);
  for (const { path } of [...files, ...links]) {
    const problem = check(path);
    if (problem !== null) return problem;
  }
  return throughLink(links);
}

/** What is wrong with a path of an index of these links, to be asked of each of its paths once. */
function pathCheck(links: readonly LinkEntry[]): (path: string) => string | null {
  const linked = linkedBy(links);
  const [seen, folders] = [new Set<string>(), new Set<string>()];
  return (path) => {
    if (BARE.test(path)) return `${path} is made anew on each host`;
    if (seen.has(path)) return `${path} is there twice`;
    seen.add(path);
    const folder = posix.dirname(path);
    if (!folders.has(folder) && passesLink(folder.split("/"), linked)) return `${path} lies below a link`;
    folders.add(folder);
    return null;
  };
}

function throughLink(links: readonly LinkEntry[]): string | null {
  const linked = linkedBy(links);
  const through = links.find(({ path, target }) =>
    passesLink([...posix.dirname(path).split("/"), ...posix.dirname(target).split("/")], linked),
  );
  return through === undefined ? null : `the link ${through.path} leads through another link`;
}

function linkedBy(links: readonly LinkEntry[]): Set<string> {
  return new Set([BARE_LINK, ...links.map(({ path }) => path)]);
}

/** Whether one of the folders that this way goes through is a link. */
function passesLink(way: readonly string[], linked: ReadonlySet<string>): boolean {
  const at: string[] = [];
  return way.some((step) => {
    if (step === "..") at.pop();
    else if (step !== "." && step !== "") at.push(step);
    return linked.has(at.join("/"));
  });
}

/** Whether a link at this path leads to something within the environment. */
export function isInside(path: string, target: string): boolean {
  if (target.startsWith("/") || target.includes("\0")) return false;
  const led = posix.normalize(posix.join(posix.dirname(path), target));
  return led !== ".." && !led.startsWith("../");
}
