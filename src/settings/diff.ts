/** What differs between two settings. */
import type { Json } from "../contract/prediction.ts";

/** `path` as a JSON pointer; null stands for what isn't there, too. */
export type Change = { path: string; from: Json; to: Json };

/** Objects are compared by their fields, all else as a whole. */
export function diffOf(from: Json, to: Json, path = ""): Change[] {
  if (isObject(from) && isObject(to)) {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])];
    return keys.flatMap((key) => diffOf(valueOf(from, key), valueOf(to, key), path + pointerOf([key])));
  }
  return JSON.stringify(from) === JSON.stringify(to) ? [] : [{ path, from, to }];
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function valueOf(object: { [key: string]: Json }, key: string): Json {
  return Object.hasOwn(object, key) ? (object[key] ?? null) : null;
}

/** A JSON pointer: https://www.rfc-editor.org/rfc/rfc6901#section-3 */
export function pointerOf(path: readonly (string | number)[]): string {
  return path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

export function asJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
