/**
 * Finished results on disk while the edge is away: one file a claim, `<id>.<token>.json`, with its unacknowledged
 * events. A pool that starts again sends them first. Writes are synced and go through a rename, so a file is whole or
 * absent. On a full disk they take what is kept free for them (spool-reserve.ts).
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { PoolEventSchema } from "../../src/contract/event.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import { createSpoolReserve } from "./spool-reserve.ts";

/** Some hundred results of the largest kind that is no blob. */
const RESERVE_BYTES = 16 * 1024 * 1024;

const FileSchema = z.array(PoolEventSchema).min(1);

export type Spool = {
  /** Keeps a finished claim's events. Throws when the disk refuses. */
  keep(id: string, token: string, events: readonly PoolEvent[]): void;
  drop(id: string, token: string): void;
  /** What an earlier life left, oldest first by name; unreadable files are renamed to `*.bad` and named in `bad`. */
  load(): { claims: PoolEvent[][]; bad: string[] };
  readonly size: number;
};

export function createSpool(folder: string, reserveBytes = RESERVE_BYTES): Spool {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const reserve = createSpoolReserve(join(folder, "reserve"), reserveBytes);
  reserve.restore();
  const kept = new Set<string>();
  const nameOf = (id: string, token: string): string => `${id}.${token}.json`.replaceAll(/[^\w.-]/g, "_");
  return {
    get size() {
      return kept.size;
    },
    keep(id, token, events) {
      const name = nameOf(id, token);
      const path = join(folder, name);
      const text = JSON.stringify(events);
      while (!isWritten(path, text, () => reserve.giveWay(Buffer.byteLength(text))));
      kept.add(name);
    },
    drop(id, token) {
      const name = nameOf(id, token);
      if (!kept.delete(name)) return;
      rmSync(join(folder, name), { force: true });
      if (kept.size === 0) reserve.restore();
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

/** Whether the file is there as a whole; where the disk is full and `giveWay` freed some of it, it is not yet. */
function isWritten(path: string, text: string, giveWay: () => boolean): boolean {
  const part = `${path}.part`;
  try {
    writeFileSync(part, text, { mode: 0o600, flush: true });
    renameSync(part, path);
    return true;
  } catch (error) {
    rmSync(part, { force: true });
    if (isDiskFull(error) && giveWay()) return false;
    throw error;
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
