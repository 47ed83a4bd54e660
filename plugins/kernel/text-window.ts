/**
 * Judging a stream of text in windows: text is held back until there is a window of it, and goes out once that was
 * judged together with the end of what went out before. What is judged at once costs one call for many chunks.
 */
import type { OutputPart } from "./phases.ts";

export type TextWindow = {
  /** How much text is judged at once. */
  windowCharacters: number;
  /** How much of the text before goes with it, for what begins there. */
  overlapCharacters: number;
};

/** What a plugin holds of a stream: what went out last, and what didn't yet. */
type Held = { before: string; waiting: string };

/**
 * What to do with a part of a stream: the text to `judge`, null while it only gathers; and, once that is found good,
 * what goes out and what is held. A `whole` is judged as it is.
 */
export type Step = { judge: string | null; output: string; held: string | null };

/** `part` must be text, or an `end`. */
export function stepOf(part: OutputPart, { windowCharacters, overlapCharacters }: TextWindow): Step {
  const text = typeof part.output === "string" ? part.output : "";
  if (part.part === "whole") return { judge: text, output: text, held: null };
  const { before, waiting } = readHeld(part.held);
  const gathered = waiting + text;
  if (part.part === "end") return { judge: gathered === "" ? null : before + gathered, output: gathered, held: null };
  if (gathered.length < windowCharacters)
    return { judge: null, output: "", held: writeHeld({ before, waiting: gathered }) };
  const kept = (before + gathered).slice(-overlapCharacters);
  const held = writeHeld({ before: overlapCharacters === 0 ? "" : kept, waiting: "" });
  return { judge: before + gathered, output: gathered, held };
}

/** Nothing, for a state that another plugin wrote, or an older version. */
function readHeld(held: string | null): Held {
  const [, length, text = ""] = /^(\d{1,7})\n([^]*)$/.exec(held ?? "") ?? [];
  const at = Number(length ?? 0);
  return { before: text.slice(0, at), waiting: text.slice(at) };
}

function writeHeld({ before, waiting }: Held): string {
  return `${before.length}\n${before}${waiting}`;
}
