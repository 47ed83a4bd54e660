/** Screens every text in a JSON value, at any depth: strings, the names of fields, and texts that come in pieces. */
import type { Json } from "../../src/contract/prediction.ts";
import { readDataUri } from "../kernel/data-uri.ts";
import { mask } from "./mask.ts";
import type { Found, Rule, RuleSet } from "./rules.ts";
import { findAll } from "./scan-text.ts";

/** Nobody writes that deep; what is deeper can't be screened. */
const MAX_DEPTH = 1000;

/** `value` with what had to be masked covered; itself when nothing had to be. `tooDeep`: it was not screened. */
export type Screened = { value: Json; found: Rule[]; tooDeep: boolean };

/**
 * A list of strings is read as one text, as models hand out what they stream. With `alone`, each is read by itself too:
 * for input, where they may be messages.
 */
export function screenJson(rules: RuleSet, value: Json, alone: boolean): Screened {
  const screen = new Screening(rules, alone);
  const screened = screen.visit(value, 0);
  return { value: screened, found: screen.found, tooDeep: screen.tooDeep };
}

class Screening {
  readonly found: Rule[] = [];
  tooDeep = false;
  readonly #rules: RuleSet;
  readonly #alone: boolean;

  constructor(rules: RuleSet, alone: boolean) {
    this.#rules = rules;
    this.#alone = alone;
  }

  visit(value: Json, depth: number): Json {
    if (typeof value === "string") return this.#text(value);
    if (typeof value !== "object" || value === null) return value;
    if (depth >= MAX_DEPTH) {
      this.tooDeep = true;
      return value;
    }
    return Array.isArray(value) ? this.#list(value, depth) : this.#fields(value, depth);
  }

  #text(text: string): string {
    const carried = readDataUri(text);
    if (carried === "media") return text;
    const inner = carried?.text ?? text;
    const found = this.#find(inner);
    const masked = mask(inner, 0, inner.length, found);
    return masked === inner ? text : (carried?.write(masked) ?? masked);
  }

  #list(list: Json[], depth: number): Json[] {
    const texts = list.filter((item) => typeof item === "string");
    if (texts.length < 2 || texts.length < list.length || texts.some((text) => readDataUri(text) !== null)) {
      return changed(
        list,
        list.map((item) => this.visit(item, depth + 1)),
      );
    }
    const joined = texts.join("");
    const found = this.#find(joined).sort((left, right) => left.start - right.start);
    let start = 0;
    let next = 0;
    const masked = texts.map((text) => {
      const end = start + text.length;
      const own = this.#alone ? this.#find(text).map((one) => shifted(one, start)) : [];
      while (next < found.length && (found[next]?.end ?? 0) <= start) next += 1;
      for (let at = next; at < found.length; at += 1) {
        const one = found[at];
        if (one === undefined || one.start >= end) break;
        own.push(one);
      }
      const piece = mask(joined, start, end, own);
      start = end;
      return piece;
    });
    return changed(list, masked);
  }

  #fields(fields: { [key: string]: Json }, depth: number): { [key: string]: Json } {
    const entries = Object.entries(fields);
    let isChanged = false;
    const taken = new Set(entries.map(([name]) => name));
    const screened = entries.map(([name, value]): [string, Json] => {
      const newName = this.#name(name, taken);
      const newValue = this.visit(value, depth + 1);
      isChanged ||= newName !== name || newValue !== value;
      return [newName, newValue];
    });
    // `fromEntries` makes a field of `__proto__`, as JSON does.
    return isChanged ? Object.fromEntries(screened) : fields;
  }

  #name(name: string, taken: Set<string>): string {
    const masked = mask(name, 0, name.length, this.#find(name));
    if (masked === name) return name;
    let free = masked;
    for (let count = 2; taken.has(free); count += 1) free = `${masked}${count}`;
    taken.add(free);
    return free;
  }

  #find(text: string): Found[] {
    const found = findAll(this.#rules, text);
    this.found.push(...found);
    return found;
  }
}

function shifted(found: Found, by: number): Found {
  return { ...found, start: found.start + by, end: found.end + by };
}

function changed(list: Json[], screened: Json[]): Json[] {
  return screened.every((item, index) => item === list[index]) ? list : screened;
}
