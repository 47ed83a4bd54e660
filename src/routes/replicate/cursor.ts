/** Cursors of pages: opaque to clients, a place in an order by `(createdAt, id)` to us. */
import { EdgeplaneError } from "../../contract/errors.ts";
import { fromBase64Url, toBase64Url } from "../../contract/signing.ts";

/** A place between two entries: behind this entry (`next`), or before it (`previous`). */
export type Cursor = { direction: "next" | "previous"; createdAt: number; id: string };

const FORM = /^([np])(\d{1,16}):([\x21-\x7e]{1,160})$/;

export function encodeCursor(cursor: Cursor): string {
  const text = `${cursor.direction === "next" ? "n" : "p"}${cursor.createdAt}:${cursor.id}`;
  return toBase64Url(new TextEncoder().encode(text));
}

/** Reads a cursor; null when there is none. Throws `invalid_request` for one that we didn't make. */
export function decodeCursor(text: string | undefined): Cursor | null {
  if (text === undefined || text === "") return null;
  const bytes = text.length <= 256 ? fromBase64Url(text) : null;
  const match = bytes === null ? null : FORM.exec(new TextDecoder().decode(bytes));
  const [, direction, createdAt, id] = match ?? [];
  if (
    direction === undefined ||
    createdAt === undefined ||
    id === undefined ||
    !Number.isSafeInteger(Number(createdAt))
  ) {
    throw new EdgeplaneError("invalid_request", "`cursor` is not one of this API; take it from `next` or `previous`.");
  }
  return { direction: direction === "n" ? "next" : "previous", createdAt: Number(createdAt), id };
}

/** A cursor of the list whose entries' ids have this form. Throws `invalid_request` for one of another list. */
export function ofList(cursor: Cursor | null, idForm: RegExp): Cursor | null {
  if (cursor === null || idForm.test(cursor.id)) return cursor;
  throw new EdgeplaneError(
    "invalid_request",
    "`cursor` is of another list; take it from `next` or `previous` of this one.",
  );
}

/** A cursor of a list that is read forwards only. Throws `invalid_request` for one that leads back. */
export function forward(cursor: Cursor | null): Cursor | null {
  if (cursor === null || cursor.direction === "next") return cursor;
  throw new EdgeplaneError("invalid_request", "`cursor` is not one of this list; take it from `next`.");
}

/** Where the next page begins when one entry more than `pageSize` was found; null on the last page. */
export function nextCursor<T>(
  found: readonly T[],
  pageSize: number,
  place: (entry: T) => { createdAt: number; id: string },
): Cursor | null {
  const last = found[pageSize - 1];
  if (found.length <= pageSize || last === undefined) return null;
  const { createdAt, id } = place(last);
  return { direction: "next", createdAt, id };
}
