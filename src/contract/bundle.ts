/**
 * A pushed model: the list of its files, each a row of chunks that are named by their SHA-256. The command packs and
 * names it, the edge keeps and checks it, pools fetch and unpack it; all by this module. Pure, Web APIs only.
 */
import * as z from "zod";

/** Every chunk of a file but its last has this size. */
export const CHUNK_BYTES = 64 * 1024 * 1024;
export const MAX_BUNDLE_FILES = 100_000;
/** As canonical JSON. With a manifest beside it, it fits into one request of 16 MiB. */
export const MAX_BUNDLE_JSON_BYTES = 15 * 1024 * 1024;
/** Of all files, as they are unpacked. */
export const MAX_BUNDLE_BYTES = 2 * 1024 ** 4;
/** What may be unpacked beyond the bytes that have to be sent: files with the same content. */
export const MAX_REPEATED_BYTES = 4 * 1024 ** 3;
export const MAX_PATH_CHARS = 1024;
const MAX_SEGMENT_BYTES = 255;
const MAX_DEPTH = 64;
const NAMED_PROBLEMS = 20;
const SHOWN_PATH_CHARS = 200;

/** Permission bits of a file that is run, and of any other. */
export const EXECUTABLE_MODE = 0o755;
export const PLAIN_MODE = 0o644;

export const Sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256: 64 lower-case hexadecimal digits");

const BundleFileSchema = z.strictObject({
  path: z.string(),
  mode: z.union([z.literal(PLAIN_MODE), z.literal(EXECUTABLE_MODE)], "must be 420 (0644) or 493 (0755)"),
  bytes: z.int().min(0).max(MAX_BUNDLE_BYTES),
  /** An empty file has none. */
  chunks: z.array(Sha256Schema),
});
export type BundleFile = z.infer<typeof BundleFileSchema>;

export const BundleSchema = z
  .strictObject({ format: z.literal(1), files: z.array(BundleFileSchema).min(1).max(MAX_BUNDLE_FILES) })
  .superRefine(({ files }, context) => {
    for (const { path, message } of problemsOf(files).slice(0, NAMED_PROBLEMS))
      context.addIssue({ code: "custom", path, message });
  })
  .meta({ id: "Bundle", description: "The files of a version, sorted by path (UTF-16 code units)." });
export type Bundle = z.infer<typeof BundleSchema>;

type Problem = { path: (string | number)[]; message: string };

/** Its files in the order of paths, keys in one order: two bundles with the same files are the same text. */
export function canonicalJson({ files }: Bundle): string {
  const sorted = files.toSorted((a, b) => compare(a.path, b.path));
  const ordered = sorted.map(({ path, mode, bytes, chunks }) => ({ path, mode, bytes, chunks }));
  return JSON.stringify({ format: 1, files: ordered });
}

/** The version that a bundle is: SHA-256 of its canonical JSON, in hexadecimal. */
export async function bundleVersion(bundle: Bundle): Promise<string> {
  return sha256Of(new Uint8Array(new TextEncoder().encode(canonicalJson(bundle))));
}

/** In hexadecimal. */
export async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of all files, unpacked. */
export function bundleBytes({ files }: Bundle): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Each chunk once, with its size in bytes. */
export function chunkSizes({ files }: Pick<Bundle, "files">): Map<string, number> {
  return new Map(
    files.flatMap(({ bytes, chunks }) => chunks.map((chunk, index) => [chunk, chunkBytes(bytes, index)] as const)),
  );
}

/** The size of the chunk at `index` of a file of so many bytes. */
export function chunkBytes(fileBytes: number, index: number): number {
  return Math.min(CHUNK_BYTES, fileBytes - index * CHUNK_BYTES);
}

/** What is wrong with a path, as the end of a sentence that begins with it; null: nothing. */
export function pathProblem(path: string): string | null {
  if (path.length > MAX_PATH_CHARS) return `has more than ${MAX_PATH_CHARS} characters`;
  if (!path.isWellFormed()) return "is no text: it holds half a surrogate pair";
  if (path.includes("\\")) return "holds a backslash; folders are parted by '/'";
  if (/\p{Cc}/u.test(path)) return "holds a control character";
  const segments = path.split("/");
  if (segments[0] === "" || /^[A-Za-z]:/.test(path)) return "is not relative to the model's folder";
  if (segments.length > MAX_DEPTH) return `lies more than ${MAX_DEPTH} folders deep`;
  if (segments.some((segment) => segment === "" || segment === "." || segment === ".."))
    return "has an empty part, or one that is '.' or '..'";
  if (segments[0]?.toLowerCase().startsWith(".edgeplane") === true)
    return "begins with `.edgeplane`, which is kept for the pool's own notes";
  if (segments.some((segment) => new TextEncoder().encode(segment).length > MAX_SEGMENT_BYTES))
    return `has a part of more than ${MAX_SEGMENT_BYTES} bytes`;
  return null;
}

function problemsOf(files: readonly BundleFile[]): Problem[] {
  const single = files.flatMap((file, index) => {
    const wrongPath = pathProblem(file.path);
    const problems: Problem[] = [];
    if (wrongPath !== null)
      problems.push({ path: ["files", index, "path"], message: `${shown(file.path)} ${wrongPath}` });
    const expected = Math.ceil(file.bytes / CHUNK_BYTES);
    if (file.chunks.length !== expected)
      problems.push({
        path: ["files", index, "chunks"],
        message: `${shown(file.path)} has ${file.bytes} bytes, which are ${expected} chunks of ${CHUNK_BYTES} bytes, and it names ${file.chunks.length}`,
      });
    return problems;
  });
  if (single.length > 0) return single;
  return [...orderProblems(files), ...namesakes(files), ...sizeProblems(files)];
}

function orderProblems(files: readonly BundleFile[]): Problem[] {
  const index = files.findIndex(({ path }, at) => at > 0 && compare(files[at - 1]?.path ?? "", path) > 0);
  if (index === -1) return [];
  return [
    { path: ["files", index, "path"], message: `${shown(files[index]?.path ?? "")} is not in the order of paths` },
  ];
}

/** Files that are the same file, or one the other's folder, on a host that tells no case or Unicode form apart. */
function namesakes(files: readonly BundleFile[]): Problem[] {
  const [names, folders] = [new Map<string, string>(), new Map<string, string>()];
  const problems: Problem[] = [];
  for (const [index, { path }] of files.entries()) {
    const name = folded(path);
    const other = names.get(name);
    if (other !== undefined)
      problems.push({
        path: ["files", index, "path"],
        message:
          other === path
            ? `${shown(path)} is there twice`
            : `${shown(path)} and ${shown(other)} differ only in case or Unicode form`,
      });
    names.set(name, path);
    for (let end = name.lastIndexOf("/"); end > 0; end = name.lastIndexOf("/", end - 1)) {
      const folder = name.slice(0, end);
      if (folders.has(folder)) break;
      folders.set(folder, path);
    }
  }
  for (const [index, { path }] of files.entries()) {
    const inside = folders.get(folded(path));
    if (inside !== undefined)
      problems.push({
        path: ["files", index, "path"],
        message: `${shown(path)} is a file, and the folder of ${shown(inside)}`,
      });
  }
  return problems;
}

function sizeProblems(files: readonly BundleFile[]): Problem[] {
  const all = bundleBytes({ format: 1, files: [...files] });
  if (all > MAX_BUNDLE_BYTES)
    return [{ path: ["files"], message: `have more than ${MAX_BUNDLE_BYTES} bytes together` }];
  const sizes = new Map<string, number>();
  for (const [index, { path, bytes, chunks }] of files.entries()) {
    for (const [at, chunk] of chunks.entries()) {
      const size = chunkBytes(bytes, at);
      const known = sizes.get(chunk) ?? size;
      sizes.set(chunk, size);
      if (known !== size)
        return [
          {
            path: ["files", index, "chunks", at],
            message: `the chunk ${chunk} of ${shown(path)} would have ${size} bytes here and ${known} elsewhere`,
          },
        ];
    }
  }
  const distinct = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  if (all - distinct <= MAX_REPEATED_BYTES) return [];
  const message = `repeat ${all - distinct} bytes of each other's content; ${MAX_REPEATED_BYTES} are allowed`;
  return [{ path: ["files"], message }];
}

/** Case by upper, then lower: the few letters with two lower-case forms become one. */
function folded(path: string): string {
  return path.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC");
}

/** By UTF-16 code units, as JavaScript's `<` has it. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function shown(path: string): string {
  return JSON.stringify(path.length > SHOWN_PATH_CHARS ? `${path.slice(0, SHOWN_PATH_CHARS)}…` : path);
}
