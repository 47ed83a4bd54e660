/**
 * Judging a stream of text in windows: text is held back until there is a window of it, and is judged together with
 * what is still held of the text before. What is judged at once costs one call for many chunks. The end of what was
 * judged stays back: so nothing goes out of a passage that the overlap can hold before all of it was judged.
 */
import * as z from "zod";
import { readDataUri } from "./data-uri.ts";
import type { OutputPart } from "./phases.ts";

/** The link of an output file, whose first part is its prediction. */
const OWN_LINK = /^https?:\/\/[^/\s]+\/v1\/outputs\/([^/\s]+)\/\S+$/;

export type TextWindow = {
  /** How much new text is judged at once. */
  windowCharacters: number;
  /** How much of what was judged stays back, for what goes on behind it. */
  overlapCharacters: number;
};

/** The same, as settings of a plugin. */
export const windowSettings = {
  windowCharacters: z
    .int()
    .min(1)
    .max(100_000)
    .default(400)
    .meta({ description: "Of a stream, how much new text is judged at once." }),
  overlapCharacters: z
    .int()
    .min(0)
    .max(10_000)
    .default(100)
    .meta({ description: "Of what was judged, what stays back for what goes on behind it." }),
};

/** Whether a part is judged in windows: a stream of texts, unless a chunk is a file and no text waits before it. */
export function isStreamedText({ part, output, held, predictionId }: OutputPart): boolean {
  if (part === "whole") return false;
  if (part === "end") return true;
  return typeof output === "string" && (held !== null || !isFile(output, predictionId));
}

/** Whether a chunk of the output of prediction `id` is a file: media in a data URI, or a link to a file of its own. */
function isFile(chunk: string, id: string): boolean {
  return readDataUri(chunk) === "media" || OWN_LINK.exec(chunk)?.[1] === id;
}

/** What a plugin holds of a stream; of it, `judged` characters were judged with the text before. */
type Held = { text: string; judged: number };

/**
 * What to do with a part of a stream: the text to `judge`, null while it only gathers; and, once that is found good,
 * what goes out and what is held.
 */
export type Step = { judge: string | null; output: string; held: string | null };

/** `part` must be a chunk of text, or an `end`: `isStreamedText`. */
export function stepOf(part: OutputPart, { windowCharacters, overlapCharacters }: TextWindow): Step {
  const text = typeof part.output === "string" ? part.output : "";
  const held = readHeld(part.held);
  const gathered = held.text + text;
  const fresh = gathered.length - held.judged;
  if (part.part === "end") return { judge: fresh === 0 ? null : gathered, output: gathered, held: null };
  if (fresh < windowCharacters)
    return { judge: null, output: "", held: writeHeld({ text: gathered, judged: held.judged }) };
  const cut = wholeCharacters(gathered, Math.max(0, gathered.length - overlapCharacters));
  const rest = gathered.slice(cut);
  return { judge: gathered, output: gathered.slice(0, cut), held: writeHeld({ text: rest, judged: rest.length }) };
}

/** `at`, or one less where that is within a pair of surrogates. */
export function wholeCharacters(text: string, at: number): number {
  const isWithinPair =
    at > 0 && (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
  return isWithinPair ? at - 1 : at;
}

/** Nothing, for a state that another plugin wrote. */
function readHeld(held: string | null): Held {
  const [, judged, text = ""] = /^(\d{1,7}):([^]*)$/.exec(held ?? "") ?? [];
  return { text, judged: Math.min(Number(judged ?? 0), text.length) };
}

function writeHeld({ text, judged }: Held): string {
  return `${judged}:${text}`;
}
