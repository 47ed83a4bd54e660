/**
 * What a prediction costs its model, as the model's author says it over the inputs: `tokens(text)`, `width * height`,
 * `2 * seconds + 1`. It is parsed and computed here; nothing of it is ever run as code. Pure.
 *
 *   sum     := product (("+" | "-") product)*
 *   product := factor (("*" | "/") factor)*
 *   factor  := number | input | ("len" | "tokens" | "bytes") "(" input ")" | ("min" | "max") "(" sum "," sum ")"
 *            | "(" sum ")"
 *
 * An input by itself is its number; one that is missing or no number is 0.
 */
import type { Json } from "../../../src/contract/prediction.ts";
import { tokenCount } from "./token-count.ts";

/** The inputs of one prediction by name, and how many bytes a value is: of a file, those of the file. */
export type CostInputs = { value(name: string): Json | undefined; bytes(value: Json): number };

export type CostExpression = {
  readonly text: string;
  /** The cost: 0 or more. Infinity where the expression has no number for these inputs. */
  of(inputs: CostInputs): number;
};

type Term = (inputs: CostInputs) => number;

const MAX_CHARS = 500;
const MAX_DEPTH = 20;
const TOKEN = /\s*(?:(?<number>\d+(?:\.\d+)?)|(?<name>[A-Za-z_]\w*)|(?<sign>[-+*/(),]))/y;

/** What may be asked of an input. A list has what its entries have together. */
const functions = {
  /** Characters of a text, entries of a list. */
  len: (value: Json) => (typeof value === "string" || Array.isArray(value) ? value.length : 0),
  tokens: (value: Json) => overEntries(value, tokenCount),
  bytes: (value: Json, inputs: CostInputs) =>
    Array.isArray(value) ? value.reduce<number>((sum, one) => sum + inputs.bytes(one), 0) : inputs.bytes(value),
} satisfies Record<string, (value: Json, inputs: CostInputs) => number>;

function isFunction(name: string): name is keyof typeof functions {
  return Object.hasOwn(functions, name);
}

const choices = { min: Math.min, max: Math.max };

function isChoice(name: string): name is keyof typeof choices {
  return Object.hasOwn(choices, name);
}

function overEntries(value: Json, count: (text: string) => number): number {
  if (typeof value === "string") return count(value);
  return Array.isArray(value) ? value.reduce<number>((sum, one) => sum + overEntries(one, count), 0) : 0;
}

/** Throws an error that says where the expression is wrong, and what may stand there. */
export function parseCost(text: string): CostExpression {
  if (text.length > MAX_CHARS) throw new Error(`a cost has at most ${MAX_CHARS} characters, not ${text.length}`);
  const term = new Parser(text).whole();
  return {
    text,
    of(inputs) {
      const cost = term(inputs);
      return Number.isNaN(cost) ? Infinity : Math.max(0, cost);
    },
  };
}

type Token = { kind: "number" | "name" | "sign"; text: string; at: number };

class Parser {
  readonly #tokens: Token[] = [];
  readonly #text: string;
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    const pattern = new RegExp(TOKEN);
    const end = text.trimEnd().length;
    while (pattern.lastIndex < end) {
      const at = pattern.lastIndex;
      const groups = pattern.exec(text)?.groups;
      if (groups === undefined) throw this.#error("a number, an input, + - * / or a parenthesis", at);
      const { number, name, sign } = groups;
      if (number !== undefined) this.#tokens.push({ kind: "number", text: number, at });
      else if (name !== undefined) this.#tokens.push({ kind: "name", text: name, at });
      else this.#tokens.push({ kind: "sign", text: sign ?? "", at });
    }
  }

  whole(): Term {
    const term = this.#sum();
    const rest = this.#tokens[this.#next];
    if (rest !== undefined) throw this.#error("+, -, * or /", rest.at);
    return term;
  }

  #sum(): Term {
    let left = this.#product();
    for (let sign = this.#sign("+", "-"); sign !== null; sign = this.#sign("+", "-")) {
      const [one, other, factor] = [left, this.#product(), sign === "+" ? 1 : -1];
      left = (inputs) => one(inputs) + factor * other(inputs);
    }
    return left;
  }

  #product(): Term {
    let left = this.#factor();
    for (let sign = this.#sign("*", "/"); sign !== null; sign = this.#sign("*", "/")) {
      const [one, other] = [left, this.#factor()];
      left = sign === "*" ? (inputs) => one(inputs) * other(inputs) : (inputs) => one(inputs) / other(inputs);
    }
    return left;
  }

  #factor(): Term {
    const token = this.#tokens[this.#next];
    if (token === undefined) throw this.#error("a number or an input", this.#text.length);
    this.#next += 1;
    if (token.kind === "number") {
      const number = Number(token.text);
      return () => number;
    }
    if (token.kind === "name") return this.#sign("(") === null ? numberOf(token.text) : this.#call(token);
    if (token.text !== "(") throw this.#error("a number or an input", token.at);
    const inner = this.#inner(token.at);
    this.#expect(")");
    return inner;
  }

  /** A sum in parentheses. */
  #inner(at: number): Term {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw this.#error(`at most ${MAX_DEPTH} parentheses in one another`, at);
    const inner = this.#sum();
    this.#depth -= 1;
    return inner;
  }

  #call({ text, at }: Token): Term {
    if (isChoice(text)) return this.#choice(choices[text], at);
    if (!isFunction(text))
      throw this.#error(`one of ${[...Object.keys(functions), ...Object.keys(choices)].join(", ")}`, at);
    const measure = functions[text];
    const input = this.#tokens[this.#next];
    if (input?.kind !== "name") throw this.#error("the name of an input", input?.at ?? this.#text.length);
    this.#next += 1;
    this.#expect(")");
    return (inputs) => {
      const value = inputs.value(input.text);
      return value === undefined || value === null ? 0 : measure(value, inputs);
    };
  }

  #choice(choose: (one: number, other: number) => number, at: number): Term {
    const one = this.#inner(at);
    this.#expect(",");
    const other = this.#inner(at);
    this.#expect(")");
    return (inputs) => choose(one(inputs), other(inputs));
  }

  #expect(sign: string): void {
    if (this.#sign(sign) === null) throw this.#error(sign, this.#tokens[this.#next]?.at ?? this.#text.length);
  }

  #sign(...wanted: string[]): string | null {
    const token = this.#tokens[this.#next];
    if (token?.kind !== "sign" || !wanted.includes(token.text)) return null;
    this.#next += 1;
    return token.text;
  }

  #error(wanted: string, at: number): Error {
    const rest = this.#text.slice(at).trim().slice(0, 20);
    return new Error(
      `the cost ${JSON.stringify(this.#text)} needs ${wanted} at ${rest === "" ? "its end" : `"${rest}"`}`,
    );
  }
}

function numberOf(name: string): Term {
  return (inputs) => {
    const value = inputs.value(name);
    return typeof value === "number" ? value : 0;
  };
}
