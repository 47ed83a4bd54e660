/** How large an input is, by several measures at once. */
import type { Json } from "../../src/contract/prediction.ts";

export type Measure = {
  /** Of all texts together, keys not counted. */
  characters: number;
  /** Of the longest text. */
  longest: number;
  /** Lists and objects within each other; a plain value has 0. */
  depth: number;
  /** Estimated: see `estimateTokens`. */
  tokens: number;
};

/** Stops at nothing and recurses nowhere: inputs may be nested as deep as their size allows. */
export function measure(input: Json): Measure {
  const total: Measure = { characters: 0, longest: 0, depth: 0, tokens: 0 };
  const left: { value: Json; depth: number }[] = [{ value: input, depth: 0 }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { value, depth } = next;
    if (typeof value === "string") {
      total.characters += value.length;
      total.longest = Math.max(total.longest, value.length);
      total.tokens += estimateTokens(value);
    } else if (typeof value === "object" && value !== null) {
      total.depth = Math.max(total.depth, depth + 1);
      for (const inner of Object.values(value)) left.push({ value: inner, depth: depth + 1 });
    }
  }
  total.tokens = Math.ceil(total.tokens);
  return total;
}

/** Scripts without spaces between words: about a token a character. */
const DENSE = /[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]/g;
const CHARACTERS_A_TOKEN = 4;

/** About how many tokens a language model sees: one for four letters, or for one character of a dense script. */
function estimateTokens(text: string): number {
  const dense = text.match(DENSE)?.length ?? 0;
  return dense + (text.length - dense) / CHARACTERS_A_TOKEN;
}
