/**
 * A text that comes in chunks. What may still become something that is forbidden is held back, whatever the chunks:
 * what is found and what goes out is the same for every way to cut a text.
 */
import * as z from "zod";
import { mask } from "./mask.ts";
import type { Found, RuleSet } from "./rules.ts";
import { scanText, WINDOW_UNITS } from "./scan-text.ts";

/** `context` went out already; `held` did not. */
const StreamStateSchema = z.strictObject({ context: z.string(), held: z.string() });
export type StreamState = z.infer<typeof StreamStateSchema>;

export const emptyStream: StreamState = { context: "", held: "" };

/**
 * `emit` goes out, with what had to be masked covered. `blocked`: nothing more may go out; what was before it is in
 * `emit`.
 */
export type Pushed = { emit: string; state: StreamState; found: Found[]; blocked: boolean };

/** Reads the next chunk; `isLast` lets go what is held. */
export function push(rules: RuleSet, chunk: string, state: StreamState, isLast = false): Pushed {
  const found: Found[] = [];
  let emit = "";
  let { context, held } = state;
  let at = 0;
  do {
    const next = chunk.slice(at, at + WINDOW_UNITS);
    at += WINDOW_UNITS;
    const text = context + held + next;
    const begin = context.length;
    const scan = scanText(rules, text, begin, isLast && at >= chunk.length);
    found.push(...scan.found);
    const end = Math.min(
      scan.heldFrom,
      ...scan.found.filter(({ action }) => action === "block").map(({ start }) => start),
    );
    emit += mask(text, begin, end, scan.found);
    if (end < scan.heldFrom) return { emit, state: emptyStream, found, blocked: true };
    context = text.slice(scan.contextFrom, scan.heldFrom);
    held = text.slice(scan.heldFrom);
  } while (at < chunk.length);
  return {
    emit,
    state: isLast ? emptyStream : { context, held },
    found,
    blocked: found.some(({ action }) => action === "block"),
  };
}

/** Throws when `text` is no state that `writeState` wrote. */
export function readState(text: string | null): StreamState {
  return text === null ? emptyStream : StreamStateSchema.parse(JSON.parse(text));
}

/** Null for a stream of which nothing is known. */
export function writeState(state: StreamState): string | null {
  return state.context === "" && state.held === "" ? null : JSON.stringify(state);
}
