/**
 * Checks JSON piece by piece (RFC 8259), with nothing of it in memory: what a stranger stored may go into an answer of ours as it is, and can't
 * say anything there but its own value.
 *
 *   value ─▶ after ─ , ─▶ value │ key ─▶ colon ─ : ─▶ value        strings, numbers and names end in the state that they were met in
 */
type State = "value" | "value or end" | "key" | "key or end" | "colon" | "after";
type Token = "none" | "string" | "escape" | "hex" | "number" | "name";

const MAX_DEPTH = 1000;
/** No number or name is longer. */
const MAX_TOKEN_CHARS = 1100;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const NAMES = new Set(["true", "false", "null"]);

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const isWhite = (byte: number) => byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09;
const isOfNumber = (byte: number) => (byte >= 0x30 && byte <= 0x39) || "+-.eE".includes(String.fromCharCode(byte));
const isLetter = (byte: number) => byte >= 0x61 && byte <= 0x7a;

export type JsonCheck = ReturnType<typeof createJsonCheck>;

/** `push` and `end` throw for what is no JSON in UTF-8. */
export function createJsonCheck() {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const stack: ("object" | "array")[] = [];
  let state: State = "value";
  let token: Token = "none";
  let text = "";
  let hexLeft = 0;
  let isKey = false;

  function fail(): never {
    throw new SyntaxError("what is stored is no JSON");
  }

  function beginValue(byte: number): void {
    if (byte === QUOTE) [token, isKey] = ["string", false];
    else if (byte === 0x7b) open("object", "key or end");
    else if (byte === 0x5b) open("array", "value or end");
    else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) [token, text] = ["number", String.fromCharCode(byte)];
    else if (isLetter(byte)) [token, text] = ["name", String.fromCharCode(byte)];
    else fail();
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
    if (byte === 0x5d && (state === "value or end" || state === "after")) return close("array");
    if (byte === 0x7d && (state === "key or end" || state === "after")) return close("object");
    if (state === "value" || state === "value or end") return beginValue(byte);
    if (state === "colon" && byte === 0x3a) state = "value";
    else if ((state === "key" || state === "key or end") && byte === QUOTE) [token, isKey] = ["string", true];
    else if (state === "after" && byte === 0x2c && stack.length > 0)
      state = stack.at(-1) === "object" ? "key" : "value";
    else fail();
  }

  function inString(byte: number): void {
    if (byte === QUOTE) [token, state] = ["none", isKey ? "colon" : "after"];
    else if (byte === BACKSLASH) token = "escape";
    else if (byte < SPACE) fail();
  }

  function inEscape(byte: number): void {
    const char = String.fromCharCode(byte);
    if (token === "hex") {
      if (!/[0-9a-fA-F]/.test(char)) fail();
      hexLeft -= 1;
      if (hexLeft === 0) token = "string";
    } else if (char === "u") [token, hexLeft] = ["hex", 4];
    else if ('"\\/bfnrt'.includes(char)) token = "string";
    else fail();
  }

  function endToken(): void {
    if (token === "number" ? !NUMBER.test(text) : !NAMES.has(text)) fail();
    [token, state, text] = ["none", "after", ""];
  }

  return {
    /** Line ends between tokens become blanks: what went through may stand in one line. */
    push(bytes: Uint8Array): Uint8Array {
      decoder.decode(bytes, { stream: true });
      for (let at = 0; at < bytes.length; at += 1) {
        const byte = bytes[at] ?? 0;
        if (token === "string") inString(byte);
        else if (token === "escape" || token === "hex") inEscape(byte);
        else {
          if (token !== "none") {
            const goesOn = token === "number" ? isOfNumber(byte) : isLetter(byte);
            if (goesOn && text.length < MAX_TOKEN_CHARS) {
              text += String.fromCharCode(byte);
              continue;
            }
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
