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

export const LayerIndexSchema = z.object({
  files: z.array(FileSchema).max(MAX_ENTRIES),
  links: z.array(LinkSchema).max(MAX_ENTRIES),
});
export type LayerIndex = z.infer<typeof LayerIndexSchema>;
export type IndexedFile = LayerIndex["files"][number];

/** Whether a link at this path leads to something within the environment. */
export function isInside(path: string, target: string): boolean {
  if (target.startsWith("/") || target.includes("\0")) return false;
  const led = posix.normalize(posix.join(posix.dirname(path), target));
  return led !== ".." && !led.startsWith("../");
}
