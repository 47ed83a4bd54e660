/**
 * Builds the automaton of Aho and Corasick as a double array (J. Aoe, 1989). A node has two numbers that every step
 * needs, beside each other in `steps`, and one in each of two more arrays:
 *
 *   base    the child by code c is node base + c: the low 22 bits. Bit 22: something ends here, or in a suffix. Bit 23:
 *           something of that need not end a word. In the high 8, bit c % 8 of each child's code: what has no such
 * child
 *           is told without a look at another place
 *   check   the parent; -1 where there is no node
 *   fails   the node of the longest proper suffix that is in the trie
 *   outputs the record of what ends here, or in a suffix, in the low 24 bits; 0 for none. The depth in the 7 above
 *
 * A record is three numbers: the terms from `low` up to `high`, in the order of their keys, and the next record.
 */
export const STEP_WORDS = 2;
export const RECORD_WORDS = 3;
export const ROOT = 0;
export const BASE_MASK = 0x3fffff;
export const ENDS_BIT = 1 << 22;
export const OPEN_BIT = 1 << 23;
export const OUTPUT_MASK = 0xffffff;
export const DEPTH_MASK = 0x7f;
/** So many places are tried in vain before the search for the next node begins behind them. */
const MAX_TRIES = 32;

export type Trie = {
  steps: Int32Array;
  fails: Int32Array;
  outputs: Int32Array;
  nodeCount: number;
  records: Int32Array;
  recordCount: number;
};

/**
 * Keys must be sorted, of codes from 1 to `codeCount`, and at most 127 long; `isOpen`: the term of the key need not end
 * a word. The array begins with as many empty places
 * as there are codes, and ends with as many, so that no step from any node leaves it.
 */
export function buildTrie(keys: readonly Uint16Array[], isOpen: readonly boolean[], codeCount: number): Trie {
  const builder = new TrieBuilder(keys, isOpen, codeCount);
  builder.place();
  builder.link();
  return builder.result();
}

class TrieBuilder {
  readonly #keys: readonly Uint16Array[];
  readonly #isOpen: readonly boolean[];
  readonly #codeCount: number;
  #steps: Int32Array;
  #fails: Int32Array;
  #outputs: Int32Array;
  #capacity: number;
  /** Free nodes are a list in ascending order, which begins behind the root. */
  #nextFree: Int32Array;
  #previousFree: Int32Array;
  #nodeCount = 1;
  #searchFrom = 1;
  /** Nodes in the order of their depth, with the range of keys below each. */
  readonly #order: number[] = [ROOT];
  readonly #lows: number[] = [0];
  readonly #highs: number[];
  readonly #records: number[] = [0, 0, 0];

  constructor(keys: readonly Uint16Array[], isOpen: readonly boolean[], codeCount: number) {
    this.#keys = keys;
    this.#isOpen = isOpen;
    this.#codeCount = codeCount;
    this.#highs = [keys.length];
    this.#capacity = 0;
    this.#steps = new Int32Array(0);
    this.#fails = new Int32Array(0);
    this.#outputs = new Int32Array(0);
    this.#nextFree = new Int32Array(0);
    this.#previousFree = new Int32Array(0);
    this.#grow(Math.max(1024, 2 * codeCount + 2));
    this.#nextFree[ROOT] = codeCount + 1;
    this.#previousFree[codeCount + 1] = ROOT;
  }

  /** Gives every node its place, level by level: shallow nodes, which are visited most, lie together. */
  place(): void {
    let depth = 0;
    let levelEnd = 1;
    for (let at = 0; at < this.#order.length; at += 1) {
      if (at === levelEnd) {
        depth += 1;
        levelEnd = this.#order.length;
      }
      this.#placeChildren(at, depth);
    }
  }

  /** Sets `fail` and hands outputs on along it. Parents come first. */
  link(): void {
    for (const node of this.#order) {
      if (node === ROOT) continue;
      const parent = this.#steps[node * STEP_WORDS + 1] ?? ROOT;
      const code = node - ((this.#steps[parent * STEP_WORDS] ?? 0) & BASE_MASK);
      const fail = parent === ROOT ? ROOT : this.#step(this.#fails[parent] ?? ROOT, code);
      this.#fails[node] = fail;
      const suffix = this.#outputs[fail] ?? 0;
      const own = (this.#outputs[node] ?? 0) & OUTPUT_MASK;
      if (own === 0) this.#outputs[node] = (this.#outputs[node] ?? 0) | (suffix & OUTPUT_MASK);
      const marks = (this.#steps[fail * STEP_WORDS] ?? 0) & (ENDS_BIT | OPEN_BIT);
      this.#steps[node * STEP_WORDS] = (this.#steps[node * STEP_WORDS] ?? 0) | marks;
      if (own !== 0) this.#records[own * RECORD_WORDS + 2] = suffix & OUTPUT_MASK;
    }
  }

  result(): Trie {
    const nodeCount = this.#nodeCount + this.#codeCount + 1;
    if (nodeCount > this.#capacity) this.#grow(nodeCount);
    return {
      steps: this.#steps.slice(0, nodeCount * STEP_WORDS),
      fails: this.#fails.slice(0, nodeCount),
      outputs: this.#outputs.slice(0, nodeCount),
      nodeCount,
      records: Int32Array.from(this.#records),
      recordCount: this.#records.length / RECORD_WORDS,
    };
  }

  #placeChildren(at: number, depth: number): void {
    const node = this.#order[at] ?? ROOT;
    let low = this.#lows[at] ?? 0;
    const high = this.#highs[at] ?? 0;
    const first = low;
    while (low < high && this.#keys[low]?.length === depth) low += 1;
    if (low > first) this.#recordTerms(node, first, low);
    const codes: number[] = [];
    const begins: number[] = [];
    for (let key = low; key < high; key += 1) {
      const code = this.#keys[key]?.[depth] ?? 0;
      if (codes.at(-1) === code) continue;
      codes.push(code);
      begins.push(key);
    }
    if (codes.length === 0) return;
    const base = this.#findBase(codes);
    const marks = codes.reduce((word, code) => word | (1 << (24 + (code & 7))), this.#steps[node * STEP_WORDS] ?? 0);
    this.#steps[node * STEP_WORDS] = marks | base;
    for (const [index, code] of codes.entries()) {
      const child = base + code;
      this.#take(child);
      this.#steps[child * STEP_WORDS + 1] = node;
      this.#outputs[child] = (depth + 1) << 24;
      this.#order.push(child);
      this.#lows.push(begins[index] ?? 0);
      this.#highs.push(begins[index + 1] ?? high);
    }
  }

  #recordTerms(node: number, low: number, high: number): void {
    const record = this.#records.length / RECORD_WORDS;
    this.#records.push(low, high, 0);
    const open = this.#isOpen.slice(low, high).some(Boolean) ? OPEN_BIT : 0;
    this.#outputs[node] = (this.#outputs[node] ?? 0) | record;
    this.#steps[node * STEP_WORDS] = (this.#steps[node * STEP_WORDS] ?? 0) | ENDS_BIT | open;
  }

  /**
   * A base whose places for `codes`, which ascend, are all free. A node with one child takes the first free place; for
   * others the search begins behind what was tried in vain, and what it skips is left to nodes with one child.
   */
  #findBase(codes: readonly number[]): number {
    const lowest = codes[0] ?? 1;
    const highest = codes.at(-1) ?? 1;
    const isSingle = codes.length === 1;
    let free = this.#nextFree[ROOT] ?? 1;
    if (!isSingle && this.#searchFrom > free && this.#isFree(this.#searchFrom)) free = this.#searchFrom;
    for (let tries = 0; ; tries += 1, free = this.#nextFree[free] ?? free + 1) {
      if (free + highest + 1 >= this.#capacity) this.#grow(Math.max(this.#capacity * 2, free + highest + 2));
      const base = free - lowest;
      if (!isSingle && tries >= MAX_TRIES) this.#searchFrom = free;
      if (isSingle || codes.every((code) => this.#isFree(base + code))) return base;
    }
  }

  #isFree(node: number): boolean {
    return this.#steps[node * STEP_WORDS + 1] === -1;
  }

  #take(node: number): void {
    if (node >= this.#nodeCount) this.#nodeCount = node + 1;
    const previous = this.#previousFree[node] ?? ROOT;
    const next = this.#nextFree[node] ?? node + 1;
    this.#nextFree[previous] = next;
    this.#previousFree[next] = previous;
  }

  #step(from: number, code: number): number {
    for (let node = from; ; node = this.#fails[node] ?? ROOT) {
      const child = ((this.#steps[node * STEP_WORDS] ?? 0) & BASE_MASK) + code;
      if (child < this.#nodeCount && this.#steps[child * STEP_WORDS + 1] === node) return child;
      if (node === ROOT) return ROOT;
    }
  }

  #grow(capacity: number): void {
    const steps = new Int32Array(capacity * STEP_WORDS);
    const fails = new Int32Array(capacity);
    const outputs = new Int32Array(capacity);
    // One more: the last free node has a next one too, which becomes real with the next growth.
    const nextFree = new Int32Array(capacity + 1);
    const previousFree = new Int32Array(capacity + 1);
    steps.set(this.#steps);
    fails.set(this.#fails);
    outputs.set(this.#outputs);
    nextFree.set(this.#nextFree);
    previousFree.set(this.#previousFree);
    for (let node = this.#capacity; node < capacity; node += 1) {
      steps[node * STEP_WORDS + 1] = -1;
      nextFree[node] = node + 1;
      previousFree[node + 1] = node;
    }
    this.#steps = steps;
    this.#fails = fails;
    this.#outputs = outputs;
    this.#nextFree = nextFree;
    this.#previousFree = previousFree;
    this.#capacity = capacity;
  }
}
