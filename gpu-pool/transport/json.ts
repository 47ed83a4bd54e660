import type { Json } from "../../src/contract/prediction.ts";

/** `JSON.parse`, typed as the JSON value that it gives. Throws `SyntaxError`. */
export function parseJson(text: string): Json {
  return JSON.parse(text) as Json;
}
