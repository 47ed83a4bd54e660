/**
 * What pools remember of a model's folder: which files are its author's, with their hashes, and which the model wrote.
 * It lies in the folder itself (`.edgeplane/version.json`), so that all pools that serve it agree and a copy takes it
 * along; where the folder can't be written to, in the pool's state folder.
 */
import { createHash, randomUUID } from "node:crypto";
import { access, constants, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

const RECORD = "version.json";
const NOTES_DIR = ".edgeplane";

const RecordSchema = z.object({
  format: z.literal(1),
  /** What the version is made of. A file whose state is still this one has still this content. */
  files: z.array(
    z.object({
      path: z.string(),
      size: z.string(),
      mtimeNs: z.string(),
      ctimeNs: z.string(),
      inode: z.string(),
      /** `link` and where it leads, or the SHA-256 of the content. */
      content: z.string(),
      /** It appeared while the model lived and did not work: its author's, unless the model changes it. */
      isDoubtful: z.boolean(),
    }),
  ),
  /** What the model wrote, as it was then. */
  written: z.array(z.object({ path: z.string(), size: z.string(), mtimeNs: z.string() })),
});
export type FolderRecord = z.infer<typeof RecordSchema>;

/** The folder of notes inside a model's folder, whether or not it is there. */
export function notesInside(modelDir: string): string {
  return join(modelDir, NOTES_DIR);
}

/** Where notes on a model's folder can be written. */
export async function notesDirOf(modelDir: string, stateDir: string): Promise<string> {
  const inside = notesInside(modelDir);
  try {
    await mkdir(inside, { recursive: true });
    await access(inside, constants.W_OK);
    // Nobody commits them.
    await writeFile(join(inside, ".gitignore"), "*\n");
    return inside;
  } catch {
    const outside = join(stateDir, "models", createHash("sha256").update(modelDir).digest("hex").slice(0, 32));
    await mkdir(outside, { recursive: true });
    return outside;
  }
}

/** The record, or null where there is none that can be read. */
export async function readRecord(notesDir: string): Promise<FolderRecord | null> {
  const text = await readFile(join(notesDir, RECORD), "utf8").catch(() => "null");
  try {
    return RecordSchema.nullable().catch(null).parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/**
 * Writes it whole or not at all, and only where it is another. False where it can't be written: the next start then
 * takes what it finds for the author's, which is better than a model that is not served.
 */
export async function writeRecord(
  notesDir: string,
  record: FolderRecord,
  before: FolderRecord | null,
): Promise<boolean> {
  const text = JSON.stringify(record);
  if (before !== null && JSON.stringify(before) === text) return true;
  const path = join(notesDir, RECORD);
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeFile(unfinished, text);
    await rename(unfinished, path);
    return true;
  } catch {
    await rm(unfinished, { force: true });
    return false;
  }
}
