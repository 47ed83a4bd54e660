/**
 * The compiled word list: one buffer of typed arrays that is used as it lies, little-endian.
 *
 *   16 words   magic "EPWL", format version, bytes in all, checksum of what follows the header, then the number of
 *              nodes, records, terms, words of the pool and classes
 *   int32      steps, fails and outputs of the nodes, and records (trie.ts)
 *   uint32     for each term, in the order of the trie: where its symbols begin in the pool; one more for the end
 *   uint32     for each term: its rule in the low 16 bits, its flags and the number of its runs above
 *   uint16     class and code, for each class that a term has
 *   uint16     the pool: the symbols of all terms
 */
import { isLetterSign } from "./letter-classes.ts";
import { RUNS_SHIFT } from "./term.ts";
import type { Term } from "./term.ts";
import { RECORD_WORDS, STEP_WORDS } from "./trie.ts";
import type { Trie } from "./trie.ts";

const MAGIC = 0x4c575045;
const FORMAT_VERSION = 1;
const HEADER_WORDS = 16;

export type WordList = {
  readonly steps: Int32Array;
  readonly fails: Int32Array;
  readonly outputs: Int32Array;
  readonly records: Int32Array;
  readonly termStarts: Uint32Array;
  readonly termMeta: Uint32Array;
  readonly pool: Uint16Array;
  /** Codes by class. */
  readonly codes: ReadonlyMap<number, number>;
};

/** Why a buffer is no word list. */
export class WordListError extends Error {
  override readonly name = "WordListError";
}

export function writeWordList(
  trie: Trie,
  codes: ReadonlyMap<number, number>,
  terms: readonly { term: Term; rule: number }[],
): ArrayBuffer {
  const poolLength = terms.reduce((sum, { term }) => sum + term.symbols.length, 0);
  const places = placesOf(trie.nodeCount, trie.recordCount, terms.length, poolLength, codes.size);
  const buffer = new ArrayBuffer(places.bytes);
  const list = views(buffer, places);
  list.steps.set(trie.steps);
  list.fails.set(trie.fails);
  list.outputs.set(trie.outputs);
  list.records.set(trie.records);
  let at = 0;
  for (const [index, { term, rule }] of terms.entries()) {
    list.termStarts[index] = at;
    list.termMeta[index] = rule | (term.flags << 16) | (term.key.length << (16 + RUNS_SHIFT));
    list.pool.set(term.symbols, at);
    at += term.symbols.length;
  }
  list.termStarts[terms.length] = at;
  list.classes.set([...codes].flat());
  const header = new Int32Array(buffer, 0, HEADER_WORDS);
  header.set([MAGIC, FORMAT_VERSION, places.bytes, checksumOf(buffer)]);
  header.set([trie.nodeCount, trie.recordCount, terms.length, poolLength, codes.size], 4);
  return buffer;
}

/** Reads a buffer in place. Throws `WordListError` for one of another format, cut short or damaged. */
export function loadWordList(buffer: ArrayBuffer): WordList {
  if (buffer.byteLength < HEADER_WORDS * 4 || buffer.byteLength % 4 !== 0) {
    throw new WordListError(`These ${buffer.byteLength} bytes are no word list.`);
  }
  const header = new Int32Array(buffer, 0, HEADER_WORDS);
  const [magic, version, bytes, checksum, nodes = 0, records = 0, terms = 0, pool = 0, classes = 0] = header;
  if (magic !== MAGIC) throw new WordListError("The buffer is no word list.");
  if (version !== FORMAT_VERSION) {
    throw new WordListError(`The word list has format ${version}; this gateway reads ${FORMAT_VERSION}.`);
  }
  const places = placesOf(nodes, records, terms, pool, classes);
  if (bytes !== buffer.byteLength || places.bytes !== bytes) {
    throw new WordListError(`The word list says that it has ${bytes} bytes; it has ${buffer.byteLength}.`);
  }
  if (checksum !== checksumOf(buffer)) throw new WordListError("The word list is damaged: its checksum differs.");
  const list = views(buffer, places);
  const codes = new Map<number, number>();
  for (let at = 0; at < list.classes.length; at += 2) codes.set(list.classes[at] ?? 0, list.classes[at + 1] ?? 0);
  return { ...list, codes };
}

/** Whether a sign is a letter of some term, such as a pictograph. */
export function isTermSign(list: WordList, symbol: number): boolean {
  return list.codes.has(symbol) && !isLetterSign(symbol);
}

type Places = ReturnType<typeof placesOf>;

function placesOf(nodes: number, records: number, terms: number, pool: number, classes: number) {
  const stepsAt = HEADER_WORDS * 4;
  const failsAt = stepsAt + nodes * STEP_WORDS * 4;
  const outputsAt = failsAt + nodes * 4;
  const recordsAt = outputsAt + nodes * 4;
  const startsAt = recordsAt + records * RECORD_WORDS * 4;
  const metaAt = startsAt + (terms + 1) * 4;
  const classesAt = metaAt + terms * 4;
  const poolAt = classesAt + classes * 4;
  const bytes = (poolAt + pool * 2 + 3) & ~3;
  return {
    nodes,
    records,
    terms,
    pool,
    classes,
    stepsAt,
    failsAt,
    outputsAt,
    recordsAt,
    startsAt,
    metaAt,
    classesAt,
    poolAt,
    bytes,
  };
}

function views(buffer: ArrayBuffer, places: Places) {
  return {
    steps: new Int32Array(buffer, places.stepsAt, places.nodes * STEP_WORDS),
    fails: new Int32Array(buffer, places.failsAt, places.nodes),
    outputs: new Int32Array(buffer, places.outputsAt, places.nodes),
    records: new Int32Array(buffer, places.recordsAt, places.records * RECORD_WORDS),
    termStarts: new Uint32Array(buffer, places.startsAt, places.terms + 1),
    termMeta: new Uint32Array(buffer, places.metaAt, places.terms),
    classes: new Uint16Array(buffer, places.classesAt, places.classes * 2),
    pool: new Uint16Array(buffer, places.poolAt, places.pool),
  };
}

/** Four sums side by side, which the processor adds up at once; order counts. It finds damage, not malice. */
function checksumOf(buffer: ArrayBuffer): number {
  const words = new Int32Array(buffer, HEADER_WORDS * 4);
  let [a, b, c, d] = [1, 2, 3, 4];
  const whole = words.length & ~3;
  for (let at = 0; at < whole; at += 4) {
    a = (Math.imul(a, 31) + (words[at] ?? 0)) | 0;
    b = (Math.imul(b, 31) + (words[at + 1] ?? 0)) | 0;
    c = (Math.imul(c, 31) + (words[at + 2] ?? 0)) | 0;
    d = (Math.imul(d, 31) + (words[at + 3] ?? 0)) | 0;
  }
  for (let at = whole; at < words.length; at += 1) a = (Math.imul(a, 31) + (words[at] ?? 0)) | 0;
  return Math.imul(a, 0x01000193) ^ Math.imul(b, 0x5bd1e995) ^ Math.imul(c, 0x27d4eb2f) ^ d;
}
