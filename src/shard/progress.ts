/**
 * What a running prediction has produced and what of it is stored. Events arrive faster than rows may be written (two a
 * second and prediction): between writes the frames live here, and a pool keeps what it sent until it is stored.
 */
import type { Json, PredictionSnapshot } from "../contract/prediction.ts";
import { isPurged } from "./retention.ts";
import { isFinished } from "./row.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import { charsOf, endOfLogs, MAX_SHOWN_CHARS } from "./sizes.ts";
import type { Store } from "./store.ts";
import type { StreamFrame } from "./types.ts";

/** More frames than are ever shown before they are stored, and may be lost with the object's memory. */
const ATTEMPT_GAP = 1_000_000;
/** What one piece of a stream carries, about. */
const MAX_PAGE_CHARS = 512 * 1024;

/** Frames for a reader: `more` when others are kept behind them, `finished` when none will come. */
export type Page = { frames: StreamFrame[]; more: boolean; finished: boolean };

export type Progress = {
  row: Row;
  /** Frames that are not stored. */
  frames: StreamFrame[];
  /** What these say, about in characters. */
  frameChars: number;
  /** The seq up to which the pool may forget its events. */
  storedSeq: number;
  storedAt: number;
  /** The first chunks of the output, as many as are shown of an output that is not whole. */
  chunks: Json[];
  chunkChars: number;
  logs: string;
};

/** The progress of a row as it is stored. */
export function progressOf(row: Row, store: Store): Progress {
  const progress: Progress = {
    row,
    frames: [],
    frameChars: 0,
    storedSeq: row.nextSeq,
    storedAt: 0,
    chunks: [],
    chunkChars: 0,
    logs: "",
  };
  if (row.lastFrame > 0 && !isFinished(row.state)) {
    for (const frames of store.frames(row.id)) for (const frame of frames) absorb(progress, frame);
  }
  return progress;
}

/**
 * When frames may be stored next. The beats are the same for all predictions, so that what streams side by side is
 * stored, and synced to disk, together.
 */
export function nextBeat({ storedAt }: Progress, { flushMs }: Rules): number {
  return (Math.floor(storedAt / flushMs) + 1) * flushMs;
}

/**
 * Whether what just came is to be stored: it is time, or readers are about to see the first output, which no other run
 * may contradict then, whatever dies.
 */
export function mustBeStored(
  progress: Progress,
  frames: readonly StreamFrame[],
  { now, rules }: { now: () => number; rules: Rules },
): boolean {
  return now() >= nextBeat(progress, rules) || (progress.row.shown && frames.some(({ index }) => index === 0));
}

/**
 * Whether frames are stored that come with the end. Where some are stored all are: whoever reads them later takes them
 * for all.
 */
export function outliveTheEnd({ row, frames }: Progress): boolean {
  return row.fixed.stream || row.shown || row.lastFrame > frames.length;
}

/** What readers who came while the run counted as lost have not seen; if it reports again they are told. */
export function unseenFrames({ row }: Progress, store: Store): StreamFrame[] {
  return row.shown && mayBeForgotten(row) ? [...store.frames(row.id)].flat() : [];
}

/** Appends a frame that readers will see. */
export function addFrame(progress: Progress, type: "output" | "log" | "metric", data: Json): StreamFrame {
  const { row } = progress;
  row.lastFrame += 1;
  const frame: StreamFrame = { seq: row.lastFrame, type, data };
  if (type === "output") {
    frame.index = row.chunks;
    row.chunks += 1;
  }
  progress.frames.push(frame);
  progress.frameChars += charsOf(data);
  absorb(progress, frame);
  return frame;
}

/**
 * An attempt begins: it repeats the chunks that are stored, or what came of the last one is forgotten. Where readers
 * may have seen frames, its own begin behind a gap: an id of theirs in it, or before it and forgotten, is known as one
 * of an attempt that is gone.
 */
export function beginAttempt(progress: Progress, store: Store): void {
  const { row } = progress;
  const base = row.shown && row.lastFrame > 0 ? row.lastFrame + ATTEMPT_GAP : row.lastFrame;
  if (row.fixed.resumesDeterministically) {
    row.lastFrame = base;
    row.skip = row.chunks;
    return;
  }
  if (row.lastFrame > 0) store.removeFrames(row.id);
  row.chunks = 0;
  row.lastFrame = row.shown ? base : 0;
  progress.frames = [];
  progress.frameChars = 0;
  progress.chunks = [];
  progress.chunkChars = 0;
  progress.logs = "";
}

/** Moves what was produced into the row of a prediction that has just finished. */
export function settleProgress(progress: Progress): void {
  const { row } = progress;
  if (progress.logs !== "") row.logs = progress.logs;
  if (row.output === null && row.outputBlob === null && progress.chunks.length > 0) row.output = progress.chunks;
}

/** Lays what came so far over a snapshot of the stored row: no output of a run that was lost and may be forgotten. */
export function showProgress(snapshot: PredictionSnapshot, progress: Progress): PredictionSnapshot {
  const output = progress.chunks.length > 0 && !mayBeForgotten(progress.row) ? [...progress.chunks] : null;
  return { ...snapshot, output, logs: progress.logs };
}

export const startFrame: StreamFrame = { seq: 0, type: "start", data: null };

/** Whether what came so far is of a run that was lost, unless it reports again: until then no reader sees it. */
function mayBeForgotten({ state, fixed }: Row): boolean {
  return (state === "waiting" || state === "granted") && !fixed.resumesDeterministically;
}

const goneFrame: StreamFrame = { seq: 0, type: "gone", data: null };

/**
 * The frames of a prediction behind `afterSeq` (-1: all of them), a page of them, for a reader that comes now. Where no
 * frames of a finished one were stored they are made of the row. When the reader saw frames that are no longer kept,
 * `gone` comes first, and then all that is.
 */
export function framesAfter(progress: Progress, afterSeq: number, store: Store): Page {
  const { row } = progress;
  const finished = isFinished(row.state);
  const asked = finished && isPurged(row) ? [goneFrame] : [];
  if (afterSeq < 0 && row.startedAt !== null) asked.push(startFrame);
  if (mayBeForgotten(row)) return { frames: asked, more: false, finished };
  if (afterSeq < 1) return { ...pageOf(asked, keptFrames(progress, 0, store), afterSeq), finished };
  const kept = keptFrames(progress, afterSeq, store);
  // The frame that the reader saw last, or the first that is kept behind it.
  const first = kept.next();
  const seen = first.done === true ? undefined : first.value.find(({ seq }) => seq >= afterSeq);
  if (asked.length === 0 && afterSeq <= row.lastFrame && seen?.seq !== afterSeq) {
    return { ...pageOf([goneFrame], keptFrames(progress, 0, store), 0), finished };
  }
  const next = first.done === true ? [] : behind(first.value, afterSeq);
  return { ...pageOf([...asked, ...next], kept, afterSeq), finished };
}

/** What is kept, in order, from where `fromSeq` is or would be. */
function* keptFrames({ row, frames }: Progress, fromSeq: number, store: Store): Generator<StreamFrame[]> {
  const stored = row.lastFrame > 0 ? store.frames(row.id, fromSeq) : [];
  for (const some of stored) if ((some.at(-1)?.seq ?? 0) >= fromSeq) yield some;
  if (row.lastFrame >= fromSeq && frames.length > 0) yield frames;
  if (isFinished(row.state)) yield tailFrames(row, row.lastFrame > 0 && store.hasFrames(row.id));
}

function pageOf(frames: StreamFrame[], kept: Iterable<StreamFrame[]>, afterSeq: number): Omit<Page, "finished"> {
  let chars = 0;
  for (const some of kept) {
    if (chars >= MAX_PAGE_CHARS) return { frames, more: true };
    for (const frame of behind(some, afterSeq)) {
      frames.push(frame);
      chars += JSON.stringify(frame.data).length;
    }
  }
  return { frames, more: false };
}

/** Whoever comes back behind its end, too, is told how it ended. */
function behind(frames: readonly StreamFrame[], afterSeq: number): StreamFrame[] {
  return frames.filter(({ seq, type }) => seq > afterSeq || type === "completed");
}

/** The frames that end a stream: what no frame carried so far, and `completed`. */
export function tailFrames(row: Row, framed: boolean): StreamFrame[] {
  const frames: StreamFrame[] = [];
  let seq = row.lastFrame;
  const add = (type: StreamFrame["type"], data: Json, more: { index?: number } = {}) =>
    frames.push({ seq: (seq += 1), type, data, ...more });
  if (!framed && row.logs !== "") add("log", row.logs);
  if (!(framed && row.chunks > 0))
    for (const [index, chunk] of chunksOf(row).entries()) add("output", chunk, { index });
  const { state, error, metrics, outputBlob } = row;
  if (outputBlob !== null && !(framed && row.chunks > 0)) add("blob", outputBlob, { index: 0 });
  add("completed", { status: state, error, metrics });
  return frames;
}

/**
 * The output of an ended row as a stream tells it. An iterator that yielded nothing has an empty list, which is no
 * chunk.
 */
function chunksOf({ output, chunks, fixed }: Row): Json[] {
  if (output === null) return [];
  const isYielded = chunks > 0 || (fixed.iterates === true && Array.isArray(output) && output.length === 0);
  return isYielded && Array.isArray(output) ? output : [output];
}

function absorb(progress: Progress, frame: StreamFrame): void {
  if (frame.type === "output") {
    progress.chunkChars += charsOf(frame.data);
    if (progress.chunkChars <= MAX_SHOWN_CHARS) progress.chunks.push(frame.data);
  }
  if (frame.type === "log" && typeof frame.data === "string") progress.logs = endOfLogs(progress.logs + frame.data);
}
