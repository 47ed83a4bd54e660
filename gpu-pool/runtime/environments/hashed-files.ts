/** Hashes of large files, which don't change, by where they lie and what their folder says of them. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

const READ_BYTES = 1024 * 1024;
/** Of the files that were asked for last. */
const MOST_HASHES = 20_000;

export type FileState = { size: number; mtimeMs: number; ino: number };

export class HashedFiles {
  readonly #most: number;
  readonly #byPath = new Map<string, FileState & { sha256: string }>();

  constructor(most = MOST_HASHES) {
    this.#most = most;
  }

  get size(): number {
    return this.#byPath.size;
  }

  /** Its SHA-256 in hexadecimal. Reads it unless it is as it was when it was read last. */
  async sha256(path: string, { size, mtimeMs, ino }: FileState): Promise<string> {
    const known = this.#byPath.get(path);
    const isSame = known?.size === size && known.mtimeMs === mtimeMs && known.ino === ino;
    const sha256 = isSame ? known.sha256 : await hashOf(path);
    this.#byPath.delete(path);
    this.#byPath.set(path, { size, mtimeMs, ino, sha256 });
    const [oldest] = this.#byPath.keys();
    if (this.#byPath.size > this.#most && oldest !== undefined) this.#byPath.delete(oldest);
    return sha256;
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path, { highWaterMark: READ_BYTES }))
    if (Buffer.isBuffer(part)) hash.update(part);
  return hash.digest("hex");
}
