/**
 * Finished results on disk while the edge is away: one file a claim, `<id>.<token>.json`, with its unacknowledged
 * events. A pool that starts again sends them first. Writes are synced and go through a rename, so a file is whole or
 * absent.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { PoolEventSchema } from "../../src/contract/event.ts";
import type { PoolEvent } from "../../src/contract/event.ts";

const FileSchema = z.array(PoolEventSchema).min(1);

export type Spool = {
  /** Keeps a finished claim's events. Throws when the disk refuses. */
  keep(id: string, token: string, events: readonly PoolEvent[]): void;
  drop(id: string, token: string): void;
  /** What an earlier life left, oldest first by name; unreadable files are renamed to `*.bad` and named in `bad`. */
  load(): { claims: PoolEvent[][]; bad: string[] };
  readonly size: number;
};

export function createSpool(folder: string): Spool {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const kept = new Set<string>();
  const nameOf = (id: string, token: string): string => `${id}.${token}.json`.replaceAll(/[^\w.-]/g, "_");
  return {
    get size() {
      return kept.size;
    },
    keep(id, token, events) {
      const name = nameOf(id, token);
      const path = join(folder, name);
      writeFileSync(`${path}.part`, JSON.stringify(events), { mode: 0o600, flush: true });
      renameSync(`${path}.part`, path);
      kept.add(name);
    },
    drop(id, token) {
      const name = nameOf(id, token);
      if (kept.delete(name)) rmSync(join(folder, name), { force: true });
    },
    load() {
      const claims: PoolEvent[][] = [];
      const bad: string[] = [];
      for (const name of readdirSync(folder).sort()) {
        const path = join(folder, name);
        if (name.endsWith(".part")) rmSync(path, { force: true });
        if (!name.endsWith(".json")) continue;
        try {
          claims.push(FileSchema.parse(JSON.parse(readFileSync(path, "utf8"))));
          kept.add(name);
        } catch {
          renameSync(path, `${path}.bad`);
          bad.push(name);
        }
      }
      return { claims, bad };
    },
  };
}
