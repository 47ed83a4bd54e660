/**
 * From lists to what reads them. Large lists are compiled once, when they are published, and kept as one buffer, which
 * every isolate fetches when it first needs it.
 */
import { sha256Hex } from "../kernel/secret.ts";
import type { Artifacts } from "../kernel/services.ts";
import { createTtlCache } from "../kernel/ttl-cache.ts";
import { compileTerms } from "./compile-terms.ts";
import type { TermEntry } from "./compile-terms.ts";
import type { TermFault } from "./term.ts";
import { loadWordList, WordListError } from "./word-list.ts";
import { WordScanner } from "./word-scanner.ts";

const MAX_LIST_BYTES = 16 * 1_048_576;
/** So few terms are compiled sooner than fetched. */
const FEW_TERMS = 500;
/** Goes up with whatever changes what terms are compiled to. */
const COMPILER_VERSION = 1;

/**
 * What was read last, by its hash: settings change more often than their lists, and accounts with settings of their own
 * mostly have the same ones.
 */
const REMEMBERED_MS = 600_000;
const remembered = createTtlCache<{ scanner: WordScanner; bytes: number }>(8, {
  maxBytes: 2 * MAX_LIST_BYTES,
  bytesOf: ({ bytes }) => bytes,
});

/** Throws an `Error` that names the first term that can't be used, or says that the lists are too large. */
export async function openLists(entries: readonly TermEntry[], artifacts: Artifacts): Promise<WordScanner> {
  const hash = await sha256Hex(JSON.stringify(entries.map(({ text, rule, anywhere }) => [text, rule, anywhere])));
  const known = remembered.get(hash);
  if (known !== undefined) return known.scanner;
  const buffer = entries.length <= FEW_TERMS ? compile(entries) : await keptOrCompiled(entries, hash, artifacts);
  const scanner = new WordScanner(loadWordList(buffer));
  remembered.set(hash, { scanner, bytes: buffer.byteLength }, REMEMBERED_MS);
  return scanner;
}

async function keptOrCompiled(entries: readonly TermEntry[], hash: string, artifacts: Artifacts): Promise<ArrayBuffer> {
  const kept = await artifacts.get(`content-safety.words.${COMPILER_VERSION}.${hash}`, () => {
    return new Uint8Array(compile(entries));
  });
  const buffer = kept.slice().buffer;
  try {
    loadWordList(buffer);
    return buffer;
  } catch (error) {
    // What is kept is damaged: the terms themselves are at hand.
    if (error instanceof WordListError) return compile(entries);
    throw error;
  }
}

function compile(entries: readonly TermEntry[]): ArrayBuffer {
  const { buffer, faults } = compileTerms(entries, MAX_LIST_BYTES);
  const [first] = faults;
  if (first === undefined) return buffer;
  const others = faults.length > 1 ? ` Nor can ${faults.length - 1} more.` : "";
  throw new Error(`The term ${JSON.stringify(first.text)} can't be looked for: ${faultTexts[first.fault]}.${others}`);
}

const faultTexts: Readonly<Record<TermFault, string>> = {
  empty: "it has neither letters nor digits",
  too_long: "it is too long",
};
