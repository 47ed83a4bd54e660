/** Which process of the service this is, and which one was here before it: at the edge it takes that one's place. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { join } from "node:path";

export type Instance = { id: string; replaces?: string };

/** Without a folder to write to, it takes nobody's place. */
export function instanceIn(stateDir: string): Instance {
  const id = randomUUID();
  const file = join(stateDir, "instance");
  const before = readIfThere(file);
  try {
    mkdirSync(stateDir, { recursive: true });
    writeFileSync(file, id);
  } catch {
    return { id };
  }
  return before === null ? { id } : { id, replaces: before };
}

function readIfThere(file: string): string | null {
  try {
    const text = readFileSync(file, "utf8").trim();
    return /^[0-9a-f-]{36}$/.test(text) ? text : null;
  } catch {
    return null;
  }
}
