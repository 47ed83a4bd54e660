import type { Json } from "../../src/contract/prediction.ts";

/** `JSON.parse`, typed as what it gives: any JSON value. Throws `SyntaxError`. */
export function parseJson(text: string): Json {
  return JSON.parse(text) as Json;
}
