/**
 * What this pool holds, on disk: a line at grant, a line at end; and of what waits for a slot one when it begins to,
 * and one before it leaves for a process. After a SIGKILL the next session reads it and hands back at once what the
 * dead one held, so that nobody waits for a lease to expire. Not synced: it is there for a process that dies, and when
 * a machine dies the lease does the work. A machine that dies may lose the last lines, so only those of this boot say
 * who waited.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import * as z from "zod";
import type { ClaimRef } from "../../src/contract/channel.ts";

const LineSchema = z.union([
  z.object({ held: z.string(), token: z.string(), waitsIn: z.string().optional() }),
  z.object({ ended: z.string() }),
  z.object({ waits: z.array(z.string()), waitsIn: z.string() }),
  z.object({ begins: z.array(z.string()) }),
]);

const COMPACT_ABOVE_BYTES = 4 * 1024 * 1024;
const TRUNCATE_ABOVE_BYTES = 64 * 1024;

/** The boot of this host; null where the system doesn't say: then nobody is noted as waiting. */
const BOOT = bootOf("/proc/sys/kernel/random/boot_id");

/** `waits`: it was ready to run, waited for a slot, and no process has had it. */
export type Left = ClaimRef & { waits?: true };

export type Journal = {
  /** What the last life held and never ended. */
  readonly left: Left[];
  held(claims: readonly ClaimRef[]): void;
  waits(tokens: readonly string[]): void;
  /** Before a process has them: what waited does so no longer. A disk that refuses this loses all that was noted. */
  begins(tokens: readonly string[]): void;
  ended(tokens: readonly string[]): void;
  close(): void;
};

/**
 * Opens `path`, or makes it. Throws when the folder can't be written. A disk that refuses later is no reason to stop:
 * `onProblem` is told once, and the journal is written anew when the disk takes it.
 */
export function openJournal(path: string, onProblem: (problem: string) => void = () => {}): Journal {
  const left = readLeft(path);
  const open = new Map<string, Left>(left.map((line) => [line.token, line]));
  let file = rewrite(path, open.values());
  let sizeBytes = 0;
  /** The file lacks lines. */
  let isBehind = false;

  /** Whether the file has all lines now. */
  function append(text: string): boolean {
    try {
      if (isBehind) writeAnew();
      else write(text);
      isBehind = false;
    } catch (error) {
      if (!isBehind) onProblem(error instanceof Error ? error.message : String(error));
      isBehind = true;
    }
    return !isBehind;
  }

  function write(text: string): void {
    const writtenBytes = writeSync(file, text);
    sizeBytes += writtenBytes;
    // A disk that is nearly full takes a part, and says so only of the rest.
    if (writtenBytes < Buffer.byteLength(text)) throw new Error("the disk took only a part of a line");
    if (open.size === 0 && sizeBytes > TRUNCATE_ABOVE_BYTES) {
      ftruncateSync(file, 0);
      sizeBytes = 0;
    } else if (sizeBytes > COMPACT_ABOVE_BYTES) writeAnew();
  }

  function writeAnew(): void {
    const before = file;
    file = rewrite(path, open.values());
    closeSync(before);
    sizeBytes = 0;
  }

  return {
    left,
    held(claims) {
      let text = "";
      for (const claim of claims) {
        open.set(claim.token, { id: claim.id, token: claim.token });
        text += lineOf(claim);
      }
      append(text);
    },
    waits(tokens) {
      if (BOOT === null) return;
      const fresh = tokens.filter((token) => note(open, token, true));
      if (fresh.length > 0) append(`${JSON.stringify({ waits: fresh, waitsIn: BOOT })}\n`);
    },
    begins(tokens) {
      const waited = tokens.filter((token) => open.get(token)?.waits === true && note(open, token, false));
      if (waited.length === 0 || append(`${JSON.stringify({ begins: waited })}\n`)) return;
      // A file that still says that they wait would give what kills this pool any number of tries.
      ftruncateSync(file, 0);
    },
    ended(tokens) {
      let text = "";
      for (const token of tokens) if (open.delete(token)) text += `${JSON.stringify({ ended: token })}\n`;
      if (text !== "") append(text);
    },
    close: () => closeSync(file),
  };
}

/** Whether it is there. */
function note(open: Map<string, Left>, token: string, waits: boolean): boolean {
  const known = open.get(token);
  if (known === undefined) return false;
  open.set(token, { id: known.id, token, ...(waits ? { waits } : {}) });
  return true;
}

function lineOf({ id, token, waits }: Left): string {
  const line = { held: id, token, ...(waits === true && BOOT !== null ? { waitsIn: BOOT } : {}) };
  return `${JSON.stringify(line)}\n`;
}

function bootOf(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return null;
  }
}

function rewrite(path: string, lines: Iterable<Left>): number {
  writeFileSync(`${path}.part`, [...lines].map(lineOf).join(""), { mode: 0o600 });
  renameSync(`${path}.part`, path);
  return openSync(path, "a");
}

/** A torn last line, as a kill leaves it, is passed over. */
function readLeft(path: string): Left[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return [];
  }
  const open = new Map<string, Left>();
  for (const line of text.split("\n")) {
    const parsed = LineSchema.safeParse(parseJson(line));
    if (!parsed.success) continue;
    const { data } = parsed;
    if ("ended" in data) open.delete(data.ended);
    else if ("held" in data)
      open.set(data.token, { id: data.held, token: data.token, ...(isOfThisBoot(data) ? { waits: true } : {}) });
    else if ("begins" in data) for (const token of data.begins) note(open, token, false);
    else for (const token of data.waits) note(open, token, isOfThisBoot(data));
  }
  return [...open.values()];
}

const isOfThisBoot = ({ waitsIn }: { waitsIn?: string | undefined }): boolean =>
  waitsIn !== undefined && waitsIn === BOOT;

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
