/** What the operator's lists share: pages, oldest first, each behind a cursor. */
import * as z from "zod";
import { forwardCursorOf, wholeNumber } from "../parameters.ts";
import { encodeCursor, nextCursor } from "../replicate/cursor.ts";

/** Of the bodies of the operator's calls. */
export const MAX_ADMIN_BYTES = 64 * 1024;

export const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
/** A UUID, or the id of a machine, which its token has, too. */
const ID = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|m[0-9a-z]{12})$/;

export const PageQuerySchema = z.object({
  limit: wholeNumber(1, MAX_LIMIT)
    .optional()
    .meta({ description: `How many at most; ${DEFAULT_LIMIT}.` }),
  cursor: forwardCursorOf(ID).meta({ description: "`next_cursor` of the page before." }),
});

/** Of lists of keys and tokens. */
export const CredentialQuerySchema = PageQuerySchema.extend({
  revoked: z
    .enum(["true", "false"])
    .optional()
    .meta({ description: "`true`: those that were revoked, in place of those that are valid." }),
});

export const CredentialPathSchema = z.object({
  id: z.string().meta({ description: "The `id` of the key or the token." }),
});

export function listSchema<T extends z.ZodType>(entry: T) {
  return z.object({
    results: z.array(entry),
    next_cursor: z.string().nullable().meta({ description: "Of the next page; null on the last." }),
  });
}

/** The page of `found`, which was asked for one entry more than `limit`. */
export function listOf<T extends { createdAt: number; id: string }, View>(
  found: readonly T[],
  limit: number,
  show: (entry: T) => View,
): { results: View[]; next_cursor: string | null } {
  const next = nextCursor(found, limit, ({ createdAt, id }) => ({ createdAt, id }));
  return { results: found.slice(0, limit).map(show), next_cursor: next === null ? null : encodeCursor(next) };
}
