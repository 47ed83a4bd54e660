/**
 * A JSON value that is too large for memory as the data of an event: a text without its quotes and escapes, anything
 * else as it is.
 */
import { asEventLines } from "./sse.ts";

/** `pieces` are of valid JSON in UTF-8, in one line. What comes out is ready for an event's data. */
export async function* textOfJson(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string | Uint8Array> {
  const decoder = new TextDecoder();
  let kind: "unknown" | "text" | "other" = "unknown";
  /** What can't be read without what follows it: half an escape, half a pair, half a line end. */
  let rest = "";
  for await (const piece of pieces) {
    if (kind === "other") {
      yield piece;
      continue;
    }
    const some = decoder.decode(piece, { stream: true });
    let text: string = rest + (kind === "unknown" ? some.trimStart() : some);
    if (text === "") continue;
    if (kind === "unknown") {
      kind = text.startsWith('"') ? "text" : "other";
      if (kind === "text") text = text.slice(1);
      else {
        yield text;
        continue;
      }
    }
    const { end, isOver }: { end: number; isOver: boolean } = wholeUntil(text);
    if (end > 0) yield asEventLines(unescaped(text.slice(0, end)));
    if (isOver) return;
    rest = text.slice(end);
  }
}

/** Up to where a text within a JSON string can be read by itself; `isOver`: there is its closing quote. */
function wholeUntil(text: string): { end: number; isOver: boolean } {
  const special = /["\\]/g;
  let lastUnit = 0;
  for (let found = special.exec(text); found !== null; found = special.exec(text)) {
    const at = found.index;
    if (found[0] === '"') return { end: at, isOver: true };
    const size = text[at + 1] === "u" ? 6 : 2;
    if (at + size > text.length) return { end: at, isOver: false };
    lastUnit = at + size;
    special.lastIndex = lastUnit;
    const isFirstHalf = /^\\u[dD][89abAB]/.test(text.slice(at, at + 6));
    const isFirstOfLineEnd = text.startsWith("\\r", at);
    // What belongs to it may follow in the next piece.
    if (isFirstHalf && text.length - lastUnit < 6 && "\\uXXXX".startsWith(text.slice(lastUnit, lastUnit + 2))) {
      return { end: at, isOver: false };
    }
    if (isFirstOfLineEnd && text.length - lastUnit < 2) return { end: at, isOver: false };
  }
  return { end: text.length, isOver: false };
}

/** A half pair is shown as U+FFFD, as UTF-8 has no form for it. */
function unescaped(text: string): string {
  return String(JSON.parse(`"${text}"`)).toWellFormed();
}
