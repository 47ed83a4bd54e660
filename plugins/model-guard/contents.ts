/** What there is to judge in an input or an output: texts, and pictures. Nothing here recurses. */
import type { Json } from "../../src/contract/prediction.ts";
import { readDataUri } from "../kernel/data-uri.ts";
import { piecesOf } from "../kernel/opinions.ts";
import { passagesOf } from "../kernel/texts.ts";
import type { GuardConfig } from "./config.ts";

const PICTURE_URI = /^data:image\//i;
const URL_ALONE = /^https?:\/\/\S+$/i;

/** `pictures` are data URIs or URLs. */
export type Contents = { texts: string[]; pictures: string[] };

/**
 * `takesUrl`: whether a URL in the field of that name (of the nearest one that has a name) is to be looked at as a
 * picture; it is no text then.
 */
export function contentsOf(value: Json, alone: boolean, takesUrl: (field: string) => boolean): Contents {
  const pictures = new Set<string>();
  for (const { text, field } of fieldsOf(value))
    if (PICTURE_URI.test(text) || (URL_ALONE.test(text) && takesUrl(field))) pictures.add(text);
  const texts = passagesOf(value, alone).flatMap((text) => (pictures.has(text) ? [] : wordsOf(text)));
  return { texts, pictures: [...pictures] };
}

/** Whether a URL in a field of an input is taken for a picture. */
export function pictureFields({ imageField, imageFields }: GuardConfig): (field: string) => boolean {
  return (field) => imageField !== null && (imageFields === undefined || imageFields.includes(field));
}

export function isUrl(picture: string): boolean {
  return URL_ALONE.test(picture);
}

/**
 * Texts in pieces that the guard takes. Beyond `maxQuestions` of them, neighbours go together, as far as a piece has
 * room; null when they are still too many.
 */
export function questionsOf(texts: readonly string[], config: GuardConfig): string[] | null {
  const { maxCharacters, overlapCharacters, maxQuestions } = config;
  const pieces = [...new Set(texts.flatMap((text) => piecesOf(text, maxCharacters, overlapCharacters)))];
  if (pieces.length <= maxQuestions) return pieces;
  const packed: string[] = [];
  for (const piece of pieces) {
    const last = packed.at(-1);
    if (last !== undefined && last.length + 1 + piece.length <= maxCharacters)
      packed[packed.length - 1] = `${last}\n${piece}`;
    else packed.push(piece);
  }
  return packed.length <= maxQuestions ? packed : null;
}

/** What a text says: of a data URI what it carries, if that is text. */
function wordsOf(text: string): string[] {
  const carried = readDataUri(text);
  if (carried === "media") return [];
  return [carried?.text ?? text];
}

function* fieldsOf(value: Json): Generator<{ text: string; field: string }> {
  const left: { value: Json; field: string }[] = [{ value, field: "" }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { value: inner, field } = next;
    if (typeof inner === "string") yield { text: inner, field };
    else if (Array.isArray(inner)) for (const one of inner) left.push({ value: one, field });
    else if (typeof inner === "object" && inner !== null)
      for (const [name, one] of Object.entries(inner)) left.push({ value: one, field: name });
  }
}
