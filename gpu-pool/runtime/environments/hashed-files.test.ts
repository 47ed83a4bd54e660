import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { HashedFiles } from "./hashed-files.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

test("a file that is as it was is not read again; of many the ones asked for last are remembered", async () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-hashed-"));
  try {
    const hashed = new HashedFiles(2);
    const [a, b, c] = ["a", "b", "c"].map((name) => join(folder, name)) as [string, string, string];
    /** Writes without a trace in the folder: what is remembered tells the text before. */
    const write = (path: string, text: string): void => {
      writeFileSync(path, text);
      utimesSync(path, 1, 1);
    };
    const hash = async (path: string) => hashed.sha256(path, statSync(path));
    for (const path of [a, b]) {
      write(path, "one");
      expect(await hash(path)).toBe(sha256("one"));
      write(path, "two");
    }
    expect([await hash(a), hashed.size]).toEqual([sha256("one"), 2]);
    write(c, "one");
    expect([await hash(c), hashed.size]).toEqual([sha256("one"), 2]);
    expect([await hash(a), await hash(b)]).toEqual([sha256("one"), sha256("two")]);
    writeFileSync(b, "three");
    expect(await hash(b)).toBe(sha256("three"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
