/**
 * What this pool holds, on disk: a line at grant, a line at end. After a SIGKILL the next session reads it and hands
 * back at once what the dead one held, so that nobody waits for a lease to expire. Not synced: it is there for a
 * process that dies, and when a machine dies the lease does the work.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import * as z from "zod";
import type { ClaimRef } from "../../src/contract/channel.ts";

const LineSchema = z.union([z.object({ held: z.string(), token: z.string() }), z.object({ ended: z.string() })]);

const COMPACT_ABOVE_BYTES = 4 * 1024 * 1024;
const TRUNCATE_ABOVE_BYTES = 64 * 1024;

export type Journal = {
  /** What the last life held and never ended. */
  readonly left: ClaimRef[];
  held(claims: readonly ClaimRef[]): void;
  ended(tokens: readonly string[]): void;
  close(): void;
};

/**
 * Opens `path`, or makes it. Throws when the folder can't be written. A disk that refuses later is no reason to stop:
 * `onProblem` is told once, and the journal is written anew when the disk takes it.
 */
export function openJournal(path: string, onProblem: (problem: string) => void = () => {}): Journal {
  const left = readLeft(path);
  const open = new Map(left.map((line) => [line.token, line]));
  let file = rewrite(path, open.values());
  let sizeBytes = 0;
  /** The file lacks lines. */
  let isBehind = false;

  function append(text: string): void {
    try {
      if (isBehind) writeAnew();
      else write(text);
      isBehind = false;
    } catch (error) {
      if (!isBehind) onProblem(error instanceof Error ? error.message : String(error));
      isBehind = true;
    }
  }

  function write(text: string): void {
    sizeBytes += writeSync(file, text);
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
        open.set(claim.token, claim);
        text += lineOf(claim);
      }
      append(text);
    },
    ended(tokens) {
      let text = "";
      for (const token of tokens) if (open.delete(token)) text += `${JSON.stringify({ ended: token })}\n`;
      if (text !== "") append(text);
    },
    close: () => closeSync(file),
  };
}

function lineOf({ id, token }: ClaimRef): string {
  return `${JSON.stringify({ held: id, token })}\n`;
}

function rewrite(path: string, lines: Iterable<ClaimRef>): number {
  writeFileSync(`${path}.part`, [...lines].map(lineOf).join(""), { mode: 0o600 });
  renameSync(`${path}.part`, path);
  return openSync(path, "a");
}

/** A torn last line, as a kill leaves it, is passed over. */
function readLeft(path: string): ClaimRef[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return [];
  }
  const open = new Map<string, ClaimRef>();
  for (const line of text.split("\n")) {
    const parsed = LineSchema.safeParse(parseJson(line));
    if (!parsed.success) continue;
    if ("ended" in parsed.data) open.delete(parsed.data.ended);
    else open.set(parsed.data.token, { id: parsed.data.held, token: parsed.data.token });
  }
  return [...open.values()];
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
