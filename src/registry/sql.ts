/** What the registry's tables share. */
import * as z from "zod";

/** Whether D1 refused a row because a unique value is taken. */
export function isUniqueViolation(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes("UNIQUE constraint failed");
}

/** Whether D1 has no room for another row: SQLite's words, or those of the platform's limit of 10 GB. */
export function isDatabaseFull(thrown: unknown): boolean {
  return thrown instanceof Error && /SQLITE_FULL|database or disk is full|maximum DB size/i.test(thrown.message);
}

/** A page of a list, oldest first: behind the entry `after`. */
export type OldestFirst = { after: { createdAt: number; id: string } | null; limit: number };

/** Where a list begins that is read oldest first. */
export const BEFORE_ALL = { createdAt: -1, id: "" };

/** A column that holds a JSON list of strings. */
export const StringListColumnSchema = z.string().transform((text) => z.array(z.string()).parse(JSON.parse(text)));
