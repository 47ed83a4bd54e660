/** The texts within a JSON value. Nothing here recurses: values may be nested as deep as their size allows. */
import type { Json } from "../../src/contract/prediction.ts";

/**
 * Calls `visit` with every text of `value`, values and names of fields; true from it ends the walk, and is answered.
 */
export function someText(value: Json, visit: (text: string) => boolean): boolean {
  const left: Json[] = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (typeof next === "string") {
      if (visit(next)) return true;
    } else if (typeof next === "object" && next !== null) {
      if (!Array.isArray(next) && Object.keys(next).some(visit)) return true;
      for (const inner of Object.values(next)) left.push(inner);
    }
  }
  return false;
}

/**
 * The texts of `value` as they are read, each once: a list of strings is one text, as models hand out what they stream;
 * with `alone` each of them is read by itself, too, as the messages of an input may be.
 */
export function passagesOf(value: Json, alone: boolean): string[] {
  const texts = new Set<string>();
  const left: Json[] = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (typeof next === "string") texts.add(next);
    if (typeof next !== "object" || next === null) continue;
    const joined = Array.isArray(next) && next.length > 1 ? joinedText(next) : null;
    if (joined !== null) texts.add(joined);
    if (joined === null || alone) for (const inner of Object.values(next)) left.push(inner);
  }
  return [...texts];
}

function joinedText(list: readonly Json[]): string | null {
  const texts = list.filter((item) => typeof item === "string");
  return texts.length === list.length ? texts.join("") : null;
}

/** `value` with every text that is a value replaced by what `change` makes of it; itself where nothing changed. */
export function mapTexts<T extends Json>(value: T, change: (text: string) => string): T {
  let isChanged = false;
  const changed = (text: string): string => {
    const made = change(text);
    isChanged ||= made !== text;
    return made;
  };
  const root: { value: Json } = { value };
  const left: { from: Json; put: (made: Json) => void }[] = [{ from: value, put: (made) => void (root.value = made) }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { from, put } = next;
    if (typeof from === "string") put(changed(from));
    else if (typeof from !== "object" || from === null) put(from);
    else left.push(...entriesInto(from, put));
  }
  return isChanged ? (root.value as T) : value;
}

/** An empty copy of `from`, handed to `put`, and what is to be put into it. */
function entriesInto(from: Json[] | { [key: string]: Json }, put: (made: Json) => void) {
  if (Array.isArray(from)) {
    const copy: Json[] = from.map(() => null);
    put(copy);
    return from.map((inner, index) => ({ from: inner, put: (made: Json) => void (copy[index] = made) }));
  }
  const copy: { [key: string]: Json } = {};
  put(copy);
  return Object.entries(from).map(([key, inner]) => {
    // `__proto__` is a field like any other, and stays in its place.
    Object.defineProperty(copy, key, { value: null, enumerable: true, configurable: true, writable: true });
    const define = (made: Json) =>
      void Object.defineProperty(copy, key, { value: made, enumerable: true, configurable: true, writable: true });
    return { from: inner, put: define };
  });
}
