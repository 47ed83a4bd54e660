/**
 * What the pools of a host bring into their shared folder: all of it counts before it has come, whoever brings it.
 *
 *     ROOT/coming/NOTE          the contents that one fetch brings, a line each: its id and its bytes
 *     ROOT/locks/coming-NOTE    held for as long as that fetch lasts: a note whose pool was killed is nobody's
 *
 * Its callers hold the folder's lock `collect`, but for the end of a fetch.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tryLock } from "../runtime/host-lock.ts";

/** A content, by its id. */
export type Comer = { id: string; bytes: number };

const LINE = /^([0-9a-f]{64}) (\d+)$/;

export class Coming {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Notes that these come now. What is answered ends that, and fails never. */
  async begin(contents: readonly Comer[]): Promise<() => Promise<void>> {
    const note = randomBytes(8).toString("hex");
    const lock = tryLock(this.#lockOf(note), "exclusive");
    const end = async (): Promise<void> => {
      await rm(this.#pathOf(note), { force: true }).catch(() => {});
      lock?.release();
      await rm(this.#lockOf(note), { force: true }).catch(() => {});
    };
    try {
      await mkdir(join(this.#root, "coming"), { recursive: true, mode: 0o700 });
      const lines = contents.map(({ id, bytes }) => `${id} ${bytes}\n`);
      await writeFile(this.#pathOf(note), lines.join(""), { mode: 0o600 });
    } catch (error) {
      await end();
      throw error;
    }
    return end;
  }

  /** What all pools of the host bring, the same more than once where several want it. Notes of the dead go. */
  async all(): Promise<Comer[]> {
    const notes = await readdir(join(this.#root, "coming")).catch(() => []);
    const found: Comer[] = [];
    for (const note of notes) {
      const lock = tryLock(this.#lockOf(note), "exclusive");
      if (lock === null) found.push(...comersOf(await readFile(this.#pathOf(note), "utf8").catch(() => "")));
      else {
        await rm(this.#pathOf(note), { force: true }).catch(() => {});
        lock.release();
        await rm(this.#lockOf(note), { force: true }).catch(() => {});
      }
    }
    return found;
  }

  #pathOf(note: string): string {
    return join(this.#root, "coming", note);
  }

  #lockOf(note: string): string {
    return join(this.#root, "locks", `coming-${note}`);
  }
}

function comersOf(text: string): Comer[] {
  return text.split("\n").flatMap((line) => {
    const [, id, bytes] = LINE.exec(line) ?? [];
    return id === undefined ? [] : { id, bytes: Number(bytes) };
  });
}
