/**
 * What each version's signature was when it was loaded on this host, kept over restarts: with it inputs are fetched and
 * refused before the model is loaded. A version is the hash of its files, so that what was true of it stays true. What
 * can't be read or written is not known: it comes with the next load.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type * as z from "zod";
import { ManifestSchema } from "../../src/contract/manifest.ts";
import type { Manifest } from "../../src/contract/manifest.ts";

const KnownSchema = ManifestSchema.pick({ schema: true, streams: true });

export class KnownSchemas {
  readonly #folder: string;

  constructor(stateDir: string) {
    this.#folder = join(stateDir, "schemas");
  }

  /** Gives the manifest what is known of its version. */
  recall(manifest: Manifest): void {
    Object.assign(manifest, this.#read(manifest.version));
  }

  /** Forgets the versions that these are not. */
  forgetAllBut(manifests: readonly Manifest[]): void {
    const kept = new Set(manifests.map(({ version }) => fileOf(version)));
    for (const name of this.#names()) if (!kept.has(name)) this.#remove(name);
  }

  forget({ version }: Manifest): void {
    this.#remove(fileOf(version));
  }

  keep({ version, schema, streams }: Manifest): void {
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      writeFileSync(join(this.#folder, fileOf(version)), JSON.stringify({ schema, streams }));
    } catch {
      // A file that is cut short can't be read, and is none.
    }
  }

  #read(version: string): z.infer<typeof KnownSchema> | null {
    try {
      return KnownSchema.parse(JSON.parse(readFileSync(join(this.#folder, fileOf(version)), "utf8")));
    } catch {
      return null;
    }
  }

  #remove(name: string): void {
    try {
      rmSync(join(this.#folder, name), { force: true });
    } catch {
      // On a disk that can't be written it stays until the pool's next life.
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder);
    } catch {
      return [];
    }
  }
}

function fileOf(version: string): string {
  return `${version}.json`;
}
