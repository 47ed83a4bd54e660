/**
 * Generates texts in which a term of a word list is hidden, as people hide them from filters: by case, width,
 * look-alikes, invisible characters, separators, repeated letters, and two of these at once. The look-alikes are those
 * of npm's `unhomoglyph`, all that it has for a letter.
 */
import { lookAlikes } from "./packages.ts";

export const ways = [
  "plain",
  "case",
  "width",
  "look-alikes",
  "invisible",
  "separated",
  "parted",
  "repeated",
  "two at once",
] as const;
export type Way = (typeof ways)[number];

export type Evasion = { term: string; way: Way; hidden: string; text: string; chunks: string[] };

/** Random numbers from 0 up to 1 (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** By a term's hash (FNV-1a). Nobody looks at what was missed of a held-out term, and nothing is tuned for one. */
export function isHeldOut(term: string): boolean {
  let hash = 0x811c9dc5;
  for (const character of term) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return (hash >>> 0) % 5 < 2;
}

const INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u0335", "\u0301", "\u202e", "\ufe0f"];
const SEPARATORS = [" ", " ", ".", "-", "_", "*", "/", "·", "|", "~", "+", "  ", " - ", "🍆"];
const SIGNS = [".", "-", "_", "*", "/", "·", "~", "•"];
const isHan = (text: string): boolean => /\p{Script=Han}/u.test(text);

const byLetter = new Map<string, string[]>();
for (const [glyph, skeleton] of lookAlikes) {
  const letter = (skeleton === "rn" ? "m" : skeleton).toLowerCase();
  if (!/^[a-z]$/.test(letter) || /\p{M}/u.test(glyph)) continue;
  byLetter.set(letter, [...(byLetter.get(letter) ?? []), glyph]);
}

export class EvasionGenerator {
  readonly #random: () => number;
  readonly #terms: readonly string[];
  readonly #sentences: { en: readonly string[]; zh: readonly string[] };

  constructor(seed: number, terms: readonly string[], sentences: { en: readonly string[]; zh: readonly string[] }) {
    this.#random = randomFrom(seed);
    this.#terms = terms;
    this.#sentences = sentences;
  }

  next(): Evasion {
    const term = this.#one(this.#terms);
    const way = this.#one(ways.filter((one) => isPossible(one, term)));
    const hidden = this.#hide(term, way);
    const text = this.#embed(hidden, isHan(term));
    return { term, way, hidden, text, chunks: this.#cut(text) };
  }

  #hide(term: string, way: Way): string {
    if (way !== "two at once") return this.#apply(term, way);
    const single = ways.filter((one) => one !== "two at once" && one !== "plain" && isPossible(one, term));
    // Separators and what parts last: they keep what was done to the letters.
    const [first, second] = [this.#one(single), this.#one(single)].sort(
      (left, right) => ways.indexOf(left) - ways.indexOf(right),
    );
    if (first === undefined || second === undefined) return term;
    if (first === second || second === "repeated")
      return this.#apply(this.#apply(term, "case"), second === "repeated" ? first : second);
    if (first === "separated" || first === "parted") return this.#apply(term, first);
    return this.#apply(this.#apply(term, first), second);
  }

  #apply(term: string, way: Way): string {
    const letters = lettersOf(term);
    switch (way) {
      case "case":
        return letters.map((letter) => (this.#chance(0.5) ? letter.toUpperCase() : letter)).join("");
      case "width":
        return letters.map((letter) => (/^[!-~]$/.test(letter) && this.#chance(0.7) ? wide(letter) : letter)).join("");
      case "look-alikes":
        return this.#someLetters(letters, (letter) => this.#one(byLetter.get(letter.toLowerCase()) ?? [letter]));
      case "invisible":
        return letters
          .map((letter, at) => letter + (at < letters.length - 1 && this.#chance(0.6) ? this.#invisible() : ""))
          .join("");
      case "separated": {
        const separator = this.#one(SEPARATORS);
        return letters.filter((letter) => letter !== " ").join(separator);
      }
      case "parted": {
        const at = 1 + this.#below(letters.length - 1);
        return letters.slice(0, at).join("") + this.#one(SIGNS) + letters.slice(at).join("");
      }
      case "repeated":
        // Doubled characters are words in Chinese: there, three and more.
        return this.#someLetters(letters, (letter) => letter.repeat((isHan(letter) ? 3 : 2) + this.#below(5)));
      default:
        return term;
    }
  }

  /** Changes a third of the letters, and one at least. */
  #someLetters(letters: readonly string[], change: (letter: string) => string): string {
    const places = letters.flatMap((letter, at) => (/\p{L}/u.test(letter) ? [at] : []));
    const certain = this.#one(places);
    return letters
      .map((letter, at) => (at === certain || (places.includes(at) && this.#chance(0.33)) ? change(letter) : letter))
      .join("");
  }

  /** Into the middle of a sentence: between two words, or between two Chinese characters. */
  #embed(hidden: string, isChinese: boolean): string {
    if (!isChinese) {
      const words = this.#one(this.#sentences.en).split(" ");
      const at = this.#below(words.length + 1);
      return [...words.slice(0, at), hidden, ...words.slice(at)].join(" ");
    }
    const characters = Array.from(this.#one(this.#sentences.zh));
    const at = this.#below(characters.length + 1);
    // Who puts spaces into two characters parts them from the rest as well.
    const edge = /\s/.test(hidden) && (hidden.match(/\p{Script=Han}/gu) ?? []).length === 2 ? " " : "";
    return characters.slice(0, at).join("") + edge + hidden + edge + characters.slice(at).join("");
  }

  #cut(text: string): string[] {
    const chunks: string[] = [];
    for (let at = 0; at < text.length;) {
      const length = 1 + this.#below(8);
      chunks.push(text.slice(at, at + length));
      at += length;
    }
    return chunks;
  }

  #invisible(): string {
    return this.#one(INVISIBLE).repeat(1 + this.#below(3));
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #one<T>(list: readonly T[]): T {
    const chosen = list[this.#below(list.length)];
    if (chosen === undefined) throw new Error("there is nothing to choose from");
    return chosen;
  }
}

function isPossible(way: Way, term: string): boolean {
  const letters = Array.from(term).filter((letter) => letter !== " ").length;
  if (way === "look-alikes") return /[a-z]/i.test(term);
  if (way === "width" || way === "case") return /[a-z]/i.test(term);
  if (way === "separated") return letters >= (isHan(term) ? 2 : 3);
  if (way === "parted") return letters >= (isHan(term) ? 2 : 3);
  if (way === "repeated") return /\p{L}/u.test(term);
  return true;
}

/** The letters, each with the invisible characters behind it. */
function lettersOf(text: string): string[] {
  const letters: string[] = [];
  for (const character of text) {
    const last = letters.at(-1);
    if (last !== undefined && INVISIBLE.includes(character)) letters[letters.length - 1] = last + character;
    else letters.push(character);
  }
  return letters;
}

function wide(character: string): string {
  return String.fromCharCode(character.charCodeAt(0) + 0xfee0);
}
