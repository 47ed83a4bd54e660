/**
 * Checks JSON piece by piece (RFC 8259), with nothing of it in memory: what a stranger stored may go into an answer of
 * ours as it is, and can't say anything there but its own value.
 *
 *   value ─▶ after ─ , ─▶ value │ key ─▶ colon ─ : ─▶ value
 *   strings, numbers and names end in the state that they were met in
 */
type State = "value" | "value or end" | "key" | "key or end" | "colon" | "after";
type Token = "none" | "string" | "escape" | "hex" | "number" | "name";
/**
 * Where in a number: behind its sign, a leading zero, digits, the dot, digits behind it, the `e`, its sign, its digits.
 */
type Digits = "minus" | "zero" | "whole" | "dot" | "fraction" | "e" | "e sign" | "exponent";

const MAX_DEPTH = 1000;
const NAMES = ["true", "false", "null"] as const;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const isWhite = (byte: number) => byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39;
const isE = (byte: number) => byte === 0x65 || byte === 0x45;
const isHex = (byte: number) => isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
const escapable = new Set(Array.from('"\\/bfnrt', (char) => char.charCodeAt(0)));
const ends: ReadonlySet<Digits> = new Set<Digits>(["zero", "whole", "fraction", "exponent"]);

export type JsonCheck = ReturnType<typeof createJsonCheck>;

/** `push` and `end` throw for what is no JSON in UTF-8. */
export function createJsonCheck() {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const stack: ("object" | "array")[] = [];
  let state: State = "value";
  let token: Token = "none";
  let digits: Digits = "zero";
  let name = "";
  let nameAt = 0;
  let hexLeft = 0;
  let isKey = false;

  function fail(): never {
    throw new SyntaxError("what is stored is no JSON");
  }

  function beginValue(byte: number): void {
    if (byte === QUOTE) [token, isKey] = ["string", false];
    else if (byte === 0x7b) open("object", "key or end");
    else if (byte === 0x5b) open("array", "value or end");
    else if (byte === 0x2d) [token, digits] = ["number", "minus"];
    else if (isDigit(byte)) [token, digits] = ["number", byte === 0x30 ? "zero" : "whole"];
    else {
      name = NAMES.find((one) => one.charCodeAt(0) === byte) ?? fail();
      [token, nameAt] = ["name", 1];
    }
  }

  function open(kind: "object" | "array", next: State): void {
    if (stack.length >= MAX_DEPTH) fail();
    stack.push(kind);
    state = next;
  }

  function close(kind: "object" | "array"): void {
    if (stack.pop() !== kind) fail();
    state = "after";
  }

  /** A byte between tokens. */
  function between(byte: number): void {
    if (state === "after" && byte === 0x2c && stack.length > 0)
      state = stack[stack.length - 1] === "object" ? "key" : "value";
    else if (byte === 0x5d && (state === "value or end" || state === "after")) close("array");
    else if (byte === 0x7d && (state === "key or end" || state === "after")) close("object");
    else if (state === "value" || state === "value or end") beginValue(byte);
    else if (state === "colon" && byte === 0x3a) state = "value";
    else if ((state === "key" || state === "key or end") && byte === QUOTE) {
      token = "string";
      isKey = true;
    } else fail();
  }

  function inString(byte: number): void {
    if (byte === QUOTE) {
      token = "none";
      state = isKey ? "colon" : "after";
    } else if (byte === BACKSLASH) token = "escape";
    else if (byte < SPACE) fail();
  }

  function inEscape(byte: number): void {
    if (token === "hex") {
      if (!isHex(byte)) fail();
      hexLeft -= 1;
      if (hexLeft === 0) token = "string";
    } else if (byte === 0x75) [token, hexLeft] = ["hex", 4];
    else if (escapable.has(byte)) token = "string";
    else fail();
  }

  /** Where a number is behind `byte`; null: it has ended before it. */
  function digitsBehind(byte: number): Digits | null {
    if (isDigit(byte)) {
      if (digits === "whole" || digits === "fraction" || digits === "exponent") return digits;
      if (digits === "minus") return byte === 0x30 ? "zero" : "whole";
      if (digits === "dot") return "fraction";
      return digits === "zero" ? fail() : "exponent";
    }
    if (byte === 0x2e && (digits === "zero" || digits === "whole")) return "dot";
    if (isE(byte) && (digits === "zero" || digits === "whole" || digits === "fraction")) return "e";
    if ((byte === 0x2b || byte === 0x2d) && digits === "e") return "e sign";
    return null;
  }

  /** A byte that may go on with a number or name; whether it did. */
  function goesOn(byte: number): boolean {
    if (token === "name") {
      if (name.charCodeAt(nameAt) !== byte) return false;
      nameAt += 1;
      return true;
    }
    const next = digitsBehind(byte);
    if (next !== null) digits = next;
    return next !== null;
  }

  function endToken(): void {
    if (token === "number" ? !ends.has(digits) : nameAt < name.length) fail();
    token = "none";
    state = "after";
  }

  return {
    /** Line ends between tokens become blanks: what went through may stand in one line. */
    push(bytes: Uint8Array): Uint8Array {
      decoder.decode(bytes, { stream: true });
      const { length } = bytes;
      for (let at = 0; at < length; at += 1) {
        const byte = bytes[at] ?? 0;
        if (token === "string") inString(byte);
        else if (token === "escape" || token === "hex") inEscape(byte);
        else {
          if (token !== "none") {
            if (goesOn(byte)) continue;
            endToken();
          }
          if (!isWhite(byte)) between(byte);
          else if (byte < SPACE) bytes[at] = SPACE;
        }
      }
      return bytes;
    },

    end(): void {
      decoder.decode();
      if (token === "number" || token === "name") endToken();
      if (token !== "none" || state !== "after" || stack.length > 0) fail();
    },
  };
}
