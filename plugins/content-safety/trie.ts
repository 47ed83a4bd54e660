/**
 * Builds the automaton of Aho and Corasick as a double array (J. Aoe, 1989). A node is four numbers beside each other,
 * so that a step touches one line of the cache:
 *
 *   base    the child by code c is node base + c: the low 24 bits. In the high 8, bit c % 8 of each child's code: what
 *           has no such child is told without a look at another line
 *   check   the parent; -1 where there is no node
 *   fail    the node of the longest proper suffix that is in the trie
 *   output  the record of what ends here, or in a suffix, in the low 24 bits; 0 for none. The depth in the high 8
 *
 * A record is three numbers: the terms from `low` up to `high`, in the order of their keys, and the next record.
 */
export const NODE_WORDS = 4;
export const RECORD_WORDS = 3;
export const ROOT = 0;
export const BASE_MASK = 0xffffff;
const OUTPUT_MASK = 0xffffff;
/** So many places are tried in vain before the search for the next node begins behind them. */
const MAX_TRIES = 32;

export type Trie = { nodes: Int32Array; nodeCount: number; records: Int32Array; recordCount: number };

/**
 * Keys must be sorted, of codes from 1 to `codeCount`, and at most 255 long. The array begins with as many empty places
 * as there are codes, and ends with as many, so that no step from any node leaves it.
 */
export function buildTrie(keys: readonly Uint16Array[], codeCount: number): Trie {
  const builder = new TrieBuilder(keys, codeCount);
  builder.place();
  builder.link();
  return builder.result();
}

class TrieBuilder {
  readonly #keys: readonly Uint16Array[];
  readonly #codeCount: number;
  #nodes: Int32Array;
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

  constructor(keys: readonly Uint16Array[], codeCount: number) {
    this.#keys = keys;
    this.#codeCount = codeCount;
    this.#highs = [keys.length];
    this.#capacity = 0;
    this.#nodes = new Int32Array(0);
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
      const parent = this.#nodes[node * NODE_WORDS + 1] ?? ROOT;
      const code = node - ((this.#nodes[parent * NODE_WORDS] ?? 0) & BASE_MASK);
      const fail = parent === ROOT ? ROOT : this.#step(this.#nodes[parent * NODE_WORDS + 2] ?? ROOT, code);
      this.#nodes[node * NODE_WORDS + 2] = fail;
      const inherited = (this.#nodes[fail * NODE_WORDS + 3] ?? 0) & OUTPUT_MASK;
      const own = (this.#nodes[node * NODE_WORDS + 3] ?? 0) & OUTPUT_MASK;
      if (own === 0) this.#nodes[node * NODE_WORDS + 3] = (this.#nodes[node * NODE_WORDS + 3] ?? 0) | inherited;
      else this.#records[own * RECORD_WORDS + 2] = inherited;
    }
  }

  result(): Trie {
    const nodeCount = this.#nodeCount + this.#codeCount + 1;
    if (nodeCount > this.#capacity) this.#grow(nodeCount);
    return {
      nodes: this.#nodes.slice(0, nodeCount * NODE_WORDS),
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
    this.#nodes[node * NODE_WORDS] = codes.reduce((word, code) => word | (1 << (24 + (code & 7))), base);
    for (const [index, code] of codes.entries()) {
      const child = base + code;
      this.#take(child);
      this.#nodes[child * NODE_WORDS + 1] = node;
      this.#nodes[child * NODE_WORDS + 3] = (depth + 1) << 24;
      this.#order.push(child);
      this.#lows.push(begins[index] ?? 0);
      this.#highs.push(begins[index + 1] ?? high);
    }
  }

  #recordTerms(node: number, low: number, high: number): void {
    const record = this.#records.length / RECORD_WORDS;
    this.#records.push(low, high, 0);
    this.#nodes[node * NODE_WORDS + 3] = (this.#nodes[node * NODE_WORDS + 3] ?? 0) | record;
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
    return this.#nodes[node * NODE_WORDS + 1] === -1;
  }

  #take(node: number): void {
    if (node >= this.#nodeCount) this.#nodeCount = node + 1;
    const previous = this.#previousFree[node] ?? ROOT;
    const next = this.#nextFree[node] ?? node + 1;
    this.#nextFree[previous] = next;
    this.#previousFree[next] = previous;
  }

  #step(from: number, code: number): number {
    for (let node = from; ; node = this.#nodes[node * NODE_WORDS + 2] ?? ROOT) {
      const child = ((this.#nodes[node * NODE_WORDS] ?? 0) & BASE_MASK) + code;
      if (child < this.#nodeCount && this.#nodes[child * NODE_WORDS + 1] === node) return child;
      if (node === ROOT) return ROOT;
    }
  }

  #grow(capacity: number): void {
    const nodes = new Int32Array(capacity * NODE_WORDS);
    // One more: the last free node has a next one too, which becomes real with the next growth.
    const nextFree = new Int32Array(capacity + 1);
    const previousFree = new Int32Array(capacity + 1);
    nodes.set(this.#nodes);
    nextFree.set(this.#nextFree);
    previousFree.set(this.#previousFree);
    for (let node = this.#capacity; node < capacity; node += 1) {
      nodes[node * NODE_WORDS + 1] = -1;
      nextFree[node] = node + 1;
      previousFree[node + 1] = node;
    }
    this.#nodes = nodes;
    this.#nextFree = nextFree;
    this.#previousFree = previousFree;
    this.#capacity = capacity;
  }
}
