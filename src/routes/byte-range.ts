/** `Range` of one part of bytes. https://www.rfc-editor.org/rfc/rfc9110#section-14.2 */

export type ByteRange = { offset: number; length: number };

const FORM = /^bytes=(\d{0,15})-(\d{0,15})$/;

/**
 * The bytes that a `Range` header asks for of a content of `size` bytes; null for the whole (no header, several ranges,
 * or one that can't be read: those may be ignored); `unsatisfiable` when nothing of it is there.
 */
export function parseRange(header: string | null, size: number): ByteRange | null | "unsatisfiable" {
  const [, first = "", last = ""] = FORM.exec(header?.replaceAll(" ", "") ?? "") ?? [];
  if (first === "" && last === "") return null;
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  const offset = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < offset) return null;
  return offset >= size ? "unsatisfiable" : { offset, length: end - offset + 1 };
}
