/**
 * About how many tokens a text has for a model with a vocabulary of word pieces, without that vocabulary. Pure.
 *
 * A word of up to six letters is one token, and so is each further four of a longer one; so is each mark, and each
 * character of a script that is written without spaces.
 */

/** Of a longer text the rest is taken to be like its beginning. */
const COUNTED_CHARS = 65_536;
const WHOLE_WORD_CHARS = 6;
const PIECE_CHARS = 4;

export function tokenCount(text: string): number {
  const end = Math.min(text.length, COUNTED_CHARS);
  let tokens = 0;
  let wordChars = 0;
  for (let index = 0; index < end; index += 1) {
    const kind = kindOf(text.charCodeAt(index));
    if (kind === "letter") {
      wordChars += 1;
      continue;
    }
    tokens += piecesOf(wordChars);
    wordChars = 0;
    if (kind === "mark") tokens += 1;
  }
  tokens += piecesOf(wordChars);
  return end === 0 ? 0 : Math.ceil((tokens * text.length) / end);
}

function piecesOf(wordChars: number): number {
  if (wordChars === 0) return 0;
  return 1 + Math.ceil(Math.max(0, wordChars - WHOLE_WORD_CHARS) / PIECE_CHARS);
}

/** By the UTF-16 code unit. The ranges without spaces: Thai to Myanmar, and from CJK radicals to Hangul. */
function kindOf(code: number): "letter" | "mark" | "space" {
  if (code <= 0x20 || code === 0xa0 || (code >= 0x2000 && code <= 0x200b)) return "space";
  if (code < 0x30 || (code > 0x39 && code < 0x41) || (code > 0x5a && code < 0x61) || (code > 0x7a && code < 0xaa))
    return "mark";
  if ((code >= 0xe00 && code <= 0x109f) || (code >= 0x2e80 && code <= 0xd7af) || (code >= 0x2010 && code <= 0x206f))
    return "mark";
  return "letter";
}
