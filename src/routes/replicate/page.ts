/** Pages as Replicate's clients follow them: `{previous, next, results}`, where the links are whole URLs. */
import * as z from "zod";
import { encodeCursor } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";

export type Page<T> = { previous: string | null; next: string | null; results: T[] };

/** The schema of a page of `entry`. */
export function pageSchema<T extends z.ZodType>(entry: T) {
  return z.object({ previous: z.string().nullable(), next: z.string().nullable(), results: z.array(entry) });
}

/** A page; its links repeat the request's query with another cursor. */
export function pageOf<T>(requestUrl: string, results: T[], next: Cursor | null, previous: Cursor | null): Page<T> {
  return { previous: link(requestUrl, previous), next: link(requestUrl, next), results };
}

function link(requestUrl: string, cursor: Cursor | null): string | null {
  if (cursor === null) return null;
  const url = new URL(requestUrl);
  url.searchParams.set("cursor", encodeCursor(cursor));
  return url.href;
}
