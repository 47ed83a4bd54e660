/**
 * What a layer's index says: which file of the environment lies where in the layer's files. Those are packs of small
 * files, one behind the other, and large files by themselves.
 *
 * The index comes from another host. What it names stays within the environment's folder: paths are relative and go
 * nowhere back, and links lead to files of the environment alone.
 */
import { posix } from "node:path";
import * as z from "zod";
import { MAX_BUNDLE_BYTES, pathProblem } from "../../src/contract/bundle.ts";

/** The layer's files, by their paths in its bundle. */
export const INDEX_PATH = "index.json";
export const packPath = (number: number): string => `pack-${String(number).padStart(5, "0")}`;
export const largePath = (number: number): string => `file-${String(number).padStart(5, "0")}`;

/** What stands in the packs for the path of the environment's folder. */
export const PLACEHOLDER = "@@EDGEPLANE-ENVIRONMENT@@";
export const MAX_ENTRIES = 400_000;

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

export const LayerIndexSchema = z
  .object({ files: z.array(FileSchema).max(MAX_ENTRIES), links: z.array(LinkSchema).max(MAX_ENTRIES) })
  .superRefine((index, context) => {
    const message = indexProblem(index);
    if (message !== null) context.addIssue({ code: "custom", message });
  });
type LinkEntry = z.infer<typeof LinkSchema>;
export type IndexedFile = z.infer<typeof FileSchema>;
export type LayerIndex = { files: IndexedFile[]; links: LinkEntry[] };

/**
 * What an index must not name, as a sentence; null: nothing of that. Below a link, or through one, a path may lead
 * elsewhere than it says, so no path does either.
 */
export function indexProblem({ files, links }: LayerIndex): string | null {
  const linked = new Set([BARE_LINK, ...links.map(({ path }) => path)]);
  const [seen, folders] = [new Set<string>(), new Set<string>()];
  for (const { path } of [...files, ...links]) {
    if (BARE.test(path)) return `${path} is made anew on each host`;
    if (seen.has(path)) return `${path} is there twice`;
    seen.add(path);
    const folder = posix.dirname(path);
    if (!folders.has(folder) && passesLink(folder.split("/"), linked)) return `${path} lies below a link`;
    folders.add(folder);
  }
  const through = links.find(({ path, target }) =>
    passesLink([...posix.dirname(path).split("/"), ...posix.dirname(target).split("/")], linked),
  );
  return through === undefined ? null : `the link ${through.path} leads through another link`;
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
