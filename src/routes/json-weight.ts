/**
 * What a JSON text takes when it is parsed, estimated before it is: 16 MiB of `{},{},…` become 370 MB of objects
 * (measured in V8), and an isolate has 128.
 */

/** Below this many characters nothing can weigh much. */
const LIGHT_CHARS = 128 * 1024;

/** Bytes in V8, about: what stands between brackets, one member of it, one string. */
const OBJECT = 56;
const ARRAY = 32;
const MEMBER = 12;
const STRING = 24;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;

/** The estimate, in bytes; it ends early above `limitBytes`. Of what is no JSON the answer means nothing. */
export function parsedBytes(text: string, limitBytes: number): number {
  if (text.length < LIGHT_CHARS) return text.length;
  let bytes = 0;
  for (let at = 0; at < text.length && bytes <= limitBytes; at += 1) {
    const code = text.charCodeAt(at);
    if (code === COMMA) bytes += MEMBER;
    else if (code === OPEN_BRACE) bytes += OBJECT;
    else if (code === OPEN_BRACKET) bytes += ARRAY;
    else if (code === QUOTE) {
      const end = endOfString(text, at + 1);
      bytes += STRING + end - at;
      at = end;
    }
  }
  return bytes;
}

/** Where the string ends that begins at `start`: at its closing quote. */
function endOfString(text: string, start: number): number {
  for (let at = start; ; at += 1) {
    at = text.indexOf('"', at);
    if (at === -1) return text.length;
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at;
  }
}
