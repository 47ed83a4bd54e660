/**
 * Reads `multipart/form-data` as a stream: each field's content comes in pieces, so that a file of any size passes
 * without being held. https://www.rfc-editor.org/rfc/rfc7578
 */
import { EdgeplaneError } from "../contract/errors.ts";

/** A field's head. */
export type FormField = {
  name: string;
  /** Null for a field that is no file. */
  fileName: string | null;
  contentType: string | null;
};

/** Reads one field's content, piece by piece; a piece stays valid. It must be read to its end. */
export type FieldReader = (field: FormField, content: AsyncIterable<Uint8Array>) => Promise<void>;

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_FIELDS = 100;
/** What comes in smaller pieces is gathered to so much before it is looked at. */
const LOOK_BYTES = 1024;
const CRLF = "\r\n";

/** The boundary that a `Content-Type` names; null when it is no form's. */
export function formBoundary(contentType: string | null): string | null {
  const [, quoted, plain] =
    /^\s*multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType ?? "") ?? [];
  return quoted ?? plain ?? null;
}

/**
 * Hands each field of a form to `read`, in its order. Throws `invalid_request` for what is no form, or one that breaks
 * off.
 */
export async function readForm(pieces: AsyncIterable<Uint8Array>, boundary: string, read: FieldReader): Promise<void> {
  const source = new Source(pieces);
  const delimiter = createFinder(`${CRLF}--${boundary}`);
  await skip(source.until(delimiter));
  for (let fields = 0; ; fields += 1) {
    const rest = await source.line();
    if (rest.startsWith("--")) return;
    if (rest.trim() !== "") throw malformed("its boundary is followed by something else");
    if (fields === MAX_FIELDS) throw malformed(`it has more than ${MAX_FIELDS} fields`);
    await read(await readHead(source), source.until(delimiter));
  }
}

/** Reads a field's content as text of at most `maxBytes`; null when it is longer. */
export async function fieldText(content: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const piece of content) {
    bytes += piece.byteLength;
    if (bytes <= maxBytes) text += decoder.decode(piece, { stream: true });
  }
  return bytes <= maxBytes ? text + decoder.decode() : null;
}

/** Reads a field's content and drops it. */
export async function skip(content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _piece of content);
}

async function readHead(source: Source): Promise<FormField> {
  const head = new Map<string, string>();
  let left = MAX_HEAD_BYTES;
  for (let line = await source.line(left); line !== ""; line = await source.line(left)) {
    left -= line.length + CRLF.length;
    const colon = line.indexOf(":");
    if (colon > 0 && head.size < MAX_FIELDS) head.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const disposition = head.get("content-disposition") ?? "";
  const name = parameter(disposition, "name");
  if (name === null) throw malformed("one of its fields has no name");
  return { name, fileName: parameter(disposition, "filename"), contentType: head.get("content-type") ?? null };
}

/**
 * A parameter as browsers write it: in quotes, with `"`, CR and LF in percent form.
 * https://html.spec.whatwg.org/#multipart-form-data
 */
function parameter(disposition: string, name: string): string | null {
  const extended = new RegExp(`;\\s*${name}\\*=utf-8''([^;\\s]*)`, "i").exec(disposition)?.[1];
  if (extended !== undefined) {
    try {
      return decodeURIComponent(extended);
    } catch {
      // Badly encoded: the plain one is taken.
    }
  }
  const [, quoted, plain] =
    new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, "i").exec(disposition) ?? [];
  const value = quoted?.replaceAll(/\\(["\\])/g, "$1") ?? plain;
  return value?.replaceAll("%22", '"').replaceAll(/%0D|%0A/gi, " ") ?? null;
}

/** What came and was not taken yet. */
class Source {
  readonly #pieces: AsyncIterator<Uint8Array>;
  // The first boundary begins a line, too.
  #held: Uint8Array = new TextEncoder().encode(CRLF);

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** One line of text of at most `maxBytes`, without its end. */
  async line(maxBytes = MAX_HEAD_BYTES): Promise<string> {
    for (;;) {
      const end = this.#held.indexOf(10);
      if (end > maxBytes || (end < 0 && this.#held.length > maxBytes)) {
        throw malformed("the head of one of its fields is too long");
      }
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#held.subarray(0, end)).replace(/\r$/, "");
        this.#held = this.#held.subarray(end + 1);
        return line;
      }
      // The end of the last boundary needs no line's end.
      if (!(await this.#more())) {
        const rest = new TextDecoder().decode(this.#held);
        this.#held = new Uint8Array();
        if (rest === "--") return rest;
        throw malformed("it breaks off");
      }
    }
  }

  /** All up to the delimiter, which is taken as well. */
  async *until(delimiter: Finder): AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = delimiter.find(this.#held);
      const end = at >= 0 ? at : this.#held.length - delimiter.length + 1;
      if (end > 0) {
        const piece = this.#held.subarray(0, end);
        this.#held = this.#held.subarray(end);
        yield piece;
      }
      if (at >= 0) {
        this.#held = this.#held.subarray(delimiter.length);
        return;
      }
      if (!(await this.#more())) throw malformed("it breaks off");
    }
  }

  /** Reads on until `LOOK_BYTES` more are held, or the body ends. False if nothing more came. */
  async #more(): Promise<boolean> {
    const taken = [this.#held];
    let bytes = 0;
    while (bytes < LOOK_BYTES) {
      const next = await this.#pieces.next();
      if (next.done === true) break;
      bytes += next.value.length;
      // workerd takes a piece's memory away when the next one is read.
      taken.push(bytes < LOOK_BYTES ? next.value.slice() : next.value);
    }
    if (bytes === 0) return false;
    const joined = new Uint8Array(this.#held.length + bytes);
    let at = 0;
    for (const piece of taken) {
      joined.set(piece, at);
      at += piece.length;
    }
    this.#held = joined;
    return true;
  }
}

type Finder = { length: number; find(bytes: Uint8Array): number };

/** Looks for `text` in bytes, skipping ahead by its length where it can't be (Horspool's algorithm). */
function createFinder(text: string): Finder {
  const needle = new TextEncoder().encode(text);
  const last = needle.length - 1;
  const shifts = new Uint32Array(256).fill(needle.length);
  for (let index = 0; index < last; index += 1) shifts[needle[index] ?? 0] = last - index;
  const matches = (bytes: Uint8Array, at: number): boolean => needle.every((byte, index) => bytes[at + index] === byte);
  return {
    length: needle.length,
    find(bytes) {
      for (let at = 0; at + last < bytes.length;) {
        const byte = bytes[at + last] ?? 0;
        if (byte === needle[last] && matches(bytes, at)) return at;
        at += shifts[byte] ?? 1;
      }
      return -1;
    },
  };
}

function malformed(what: string): EdgeplaneError {
  return new EdgeplaneError("invalid_request", `The form can't be read: ${what}.`);
}
