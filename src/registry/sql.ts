/** What the registry's tables share. */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";

/** Migrations take about a second. */
const MIGRATIONS_RETRY_MS = 2000;

/** Whether D1 refused a row because a unique value is taken. */
export function isUniqueViolation(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes("UNIQUE constraint failed");
}

/** Whether D1 has no room for another row: SQLite's words, or those of the platform's limit of 10 GB. */
export function isDatabaseFull(thrown: unknown): boolean {
  return thrown instanceof Error && /SQLITE_FULL|database or disk is full|maximum DB size/i.test(thrown.message);
}

/** Whether D1 lacks a table or a column that this version knows: its migrations have yet to run. */
export function isBeforeMigrations(thrown: unknown): boolean {
  return (
    thrown instanceof Error && /^D1_ERROR: (?:no such (?:table|column)|table \S+ has no column)/.test(thrown.message)
  );
}

/** What callers are told of that, and when they should try again. */
export function migrationsPending(cause: unknown): EdgeplaneError {
  const detail = "The gateway's database is being brought up to this version: its migrations have not run yet.";
  return new EdgeplaneError("unavailable", detail, { cause, retryAfterMs: MIGRATIONS_RETRY_MS });
}

/** A page of a list, oldest first: behind the entry `after`. */
export type OldestFirst = { after: { createdAt: number; id: string } | null; limit: number };

/** Where a list begins that is read oldest first. */
export const BEFORE_ALL = { createdAt: -1, id: "" };

/** A column that holds a JSON list of strings. */
export const StringListColumnSchema = z.string().transform((text) => z.array(z.string()).parse(JSON.parse(text)));
