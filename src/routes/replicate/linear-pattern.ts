/**
 * Regular expressions that strangers wrote, run on texts that strangers wrote, in time that grows with the product of
 * both: the pattern becomes a program whose threads advance together over the text (Thompson's construction as a Pike
 * machine, https://swtch.com/~rsc/regexp/regexp2.html). No backtracking, so no pattern is catastrophic. What such a
 * machine can't do (look-around, back references, flags) makes no program, and is left to the model. Classes mean what
 * they mean in Python, which checks what passes here: `\w` and `\d` know all alphabets, `.` is all but a new line.
 */

type Instruction =
  | { op: "one"; fits: RegExp }
  | { op: "here"; kind: "^" | "$" | "b" | "B" }
  | { op: "split"; to: number; or: number }
  | { op: "jump"; to: number }
  | { op: "match" };

export type LinearPattern = {
  source: string;
  /** Whether the pattern is found anywhere in `text`. `spend` is told of the steps taken, and may throw to end it. */
  test(text: string, spend: (steps: number) => void): boolean;
};

const MAX_INSTRUCTIONS = 2000;
const MAX_SOURCE_LENGTH = 2000;

/** One character of the pattern's own, as JavaScript writes it: a class, an escape, `.`, or itself. */
const ATOM =
  /\[(?:\\.|[^\]\\])*\]|\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]{1,6}\}|[pP]\{[^}]*\}|[dDwWsStnrfv0^$\\.*+?()[\]{}|/-])|[^\\^$*+?()[\]{}|]/iuy;
const GROUP = /\((?:\?:|\?P?<[A-Za-z_]\w*>|(?!\?))/uy;
const REPEAT = /(?:[*+?]|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})\??(?![*+?{])/uy;

const WORD = String.raw`_\p{L}\p{N}`;
const SPACE = String.raw`\x1c-\x1f\x85\s`;
const WORD_CHARACTER = new RegExp(`[${WORD}]`, "u");
/** Atoms that mean something else in Python, in JavaScript's words. https://docs.python.org/3/library/re.html */
const pythonAtoms = new Map([
  [".", String.raw`[^\n]`],
  [String.raw`\w`, `[${WORD}]`],
  [String.raw`\W`, `[^${WORD}]`],
  [String.raw`\d`, String.raw`\p{Nd}`],
  [String.raw`\D`, String.raw`\P{Nd}`],
  [String.raw`\s`, `[${SPACE}]`],
  [String.raw`\S`, `[^${SPACE}]`],
  // Python escapes hyphens everywhere, JavaScript in classes only.
  [String.raw`\-`, "-"],
]);
/** The same within a class; null for what a class can't hold. */
const pythonEscapes = new Map([
  [String.raw`\w`, WORD],
  [String.raw`\W`, null],
  [String.raw`\d`, String.raw`\p{Nd}`],
  [String.raw`\D`, String.raw`\P{Nd}`],
  [String.raw`\s`, SPACE],
  [String.raw`\S`, null],
]);

/** Compiles a pattern (JavaScript's syntax, or Python's where both agree); null when it can't be run in linear time. */
export function compileLinearPattern(source: string): LinearPattern | null {
  if (source.length > MAX_SOURCE_LENGTH) return null;
  try {
    const program = new Compiler(source).program();
    return { source, test: (text, spend) => run(program, text, spend) };
  } catch {
    return null;
  }
}

/** A recursive descent over the source; throws at what it doesn't know. */
class Compiler {
  readonly #source: string;
  readonly #code: Instruction[] = [];
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  program(): Instruction[] {
    this.#alternatives();
    if (this.#at < this.#source.length) throw new SyntaxError("a group ends that did not begin");
    this.#emit({ op: "match" });
    return this.#code;
  }

  #alternatives(): void {
    const start = this.#code.length;
    this.#sequence();
    if (this.#source[this.#at] !== "|") return;
    this.#at += 1;
    const first = this.#code.splice(start);
    const split = this.#emit({ op: "split", to: start + 1, or: start + first.length + 2 });
    this.#copy(first, start, split + 1);
    const jump = this.#emit({ op: "jump", to: 0 });
    this.#alternatives();
    this.#code[jump] = { op: "jump", to: this.#code.length };
  }

  #sequence(): void {
    while (this.#at < this.#source.length && !"|)".includes(this.#source.charAt(this.#at))) {
      const start = this.#code.length;
      this.#term();
      const repeat = this.#take(REPEAT);
      if (repeat !== null) this.#repeat(start, repeat);
    }
  }

  #term(): void {
    const here = /\^|\$|\\b|\\B/y;
    const anchor = this.#take(here)?.[0];
    if (anchor !== undefined) {
      this.#emit({ op: "here", kind: anchor.replace("\\", "") as "^" | "$" | "b" | "B" });
    } else if (this.#take(GROUP) !== null) {
      this.#alternatives();
      if (this.#source[this.#at] !== ")") throw new SyntaxError("a group does not end");
      this.#at += 1;
    } else {
      const atom = this.#take(ATOM)?.[0];
      if (atom === undefined) throw new SyntaxError("not a pattern of this kind");
      this.#emit({ op: "one", fits: new RegExp(`^${inJavaScript(atom)}$`, "u") });
    }
  }

  /** The code from `start` on, again and again. */
  #repeat(start: number, [text, least, comma, most]: RegExpExecArray): void {
    const body = this.#code.splice(start);
    const sign = text.charAt(0);
    const min = sign === "{" ? Number(least) : sign === "+" ? 1 : 0;
    const max =
      sign === "?" ? 1 : sign !== "{" || (comma !== undefined && most === undefined) ? null : Number(most ?? least);
    if (max !== null && max < min) throw new SyntaxError("bounds out of order");
    for (let count = 0; count < min; count += 1) this.#copy(body, start, this.#code.length);
    if (max === null) {
      const split = this.#emit({ op: "split", to: this.#code.length + 1, or: this.#code.length + body.length + 2 });
      this.#copy(body, start, split + 1);
      this.#emit({ op: "jump", to: split });
      return;
    }
    const end = this.#code.length + (max - min) * (body.length + 1);
    for (let count = min; count < max; count += 1) {
      const split = this.#emit({ op: "split", to: this.#code.length + 1, or: end });
      this.#copy(body, start, split + 1);
    }
  }

  /** Appends code that was made for `from`, so that it works at `to`. */
  #copy(body: readonly Instruction[], from: number, to: number): void {
    const shift = to - from;
    for (const one of body) {
      if (one.op === "split") this.#emit({ op: "split", to: one.to + shift, or: one.or + shift });
      else if (one.op === "jump") this.#emit({ op: "jump", to: one.to + shift });
      else this.#emit(one);
    }
  }

  #emit(instruction: Instruction): number {
    if (this.#code.length >= MAX_INSTRUCTIONS) throw new RangeError("the pattern is too large");
    return this.#code.push(instruction) - 1;
  }

  #take(form: RegExp): RegExpExecArray | null {
    form.lastIndex = this.#at;
    const found = form.exec(this.#source);
    if (found !== null) this.#at = form.lastIndex;
    return found;
  }
}

/** A Python atom as JavaScript writes it. Throws where it can't. */
function inJavaScript(atom: string): string {
  if (!atom.startsWith("[")) return pythonAtoms.get(atom) ?? atom;
  return atom.replaceAll(/\\./gsu, (escape) => {
    const inner = pythonEscapes.get(escape);
    if (inner === null) throw new SyntaxError("a class that can't be written");
    return inner ?? escape;
  });
}

function run(program: readonly Instruction[], text: string, spend: (steps: number) => void): boolean {
  const seen = new Int32Array(program.length).fill(-1);
  let threads: number[] = [];
  let before = "";
  let index = 0;
  let steps = 0;
  let matched = false;

  /** Follows what consumes nothing, from `start`; each instruction once a place. */
  const enter = (start: number, after: string, list: number[]): void => {
    const open = [start];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      steps += 1;
      if (seen[at] === index) continue;
      seen[at] = index;
      const one = program[at];
      if (one?.op === "one") list.push(at);
      else if (one?.op === "match") matched = true;
      else if (one?.op === "jump") open.push(one.to);
      else if (one?.op === "split") open.push(one.or, one.to);
      else if (one?.op === "here" && isHere(one.kind, before, after)) open.push(at + 1);
    }
  };

  const characters = text[Symbol.iterator]();
  let current = characters.next();
  enter(0, current.value ?? "", threads);
  while (!matched && current.done !== true) {
    spend(steps + threads.length);
    steps = 0;
    const character = current.value;
    const advanced = threads.filter((at) => {
      const one = program[at];
      return one?.op === "one" && one.fits.test(character);
    });
    before = character;
    index += 1;
    current = characters.next();
    const after = current.value ?? "";
    threads = [];
    for (const at of advanced) enter(at + 1, after, threads);
    enter(0, after, threads);
  }
  return matched;
}

function isHere(kind: "^" | "$" | "b" | "B", before: string, after: string): boolean {
  if (kind === "^") return before === "";
  if (kind === "$") return after === "";
  return (WORD_CHARACTER.test(before) !== WORD_CHARACTER.test(after)) === (kind === "b");
}
