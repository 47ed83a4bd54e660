/**
 * What a running prediction has produced and what of it is stored. Events arrive faster than rows may be written (two a
 * second and prediction): between writes the frames live here, and a pool keeps what it sent until it is stored.
 */
import type { Json, PredictionSnapshot } from "../contract/prediction.ts";
import { isFinished } from "./row.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Store } from "./store.ts";
import type { StreamFrame } from "./types.ts";

/** Logs longer than this keep their end. */
const MAX_LOG_CHARS = 256 * 1024;

export type Progress = {
  row: Row;
  /** Frames that are not stored. */
  frames: StreamFrame[];
  /** The seq up to which the pool may forget its events. */
  storedSeq: number;
  storedAt: number;
  chunks: Json[];
  logs: string;
};

/** The progress of a row as it is stored. */
export function progressOf(row: Row, store: Store): Progress {
  const progress: Progress = { row, frames: [], storedSeq: row.nextSeq, storedAt: 0, chunks: [], logs: "" };
  if (row.lastFrame > 0 && !isFinished(row.state)) {
    for (const frame of store.frames(row.id)) absorb(progress, frame);
  }
  return progress;
}

/**
 * When frames may be stored next. The beats are the same for all predictions, so that what streams side by side is stored, and synced
 * to disk, together.
 */
export function nextBeat({ storedAt }: Progress, { flushMs }: Rules): number {
  return (Math.floor(storedAt / flushMs) + 1) * flushMs;
}

/** Appends a frame that readers will see. */
export function addFrame(progress: Progress, type: "output" | "log" | "metric", data: Json): StreamFrame {
  const { row } = progress;
  row.lastFrame += 1;
  const frame: StreamFrame = { seq: row.lastFrame, type, data };
  progress.frames.push(frame);
  absorb(progress, frame);
  if (type === "output") row.chunks += 1;
  return frame;
}

/** An attempt begins: it repeats the chunks that are stored, or what came of the last one is forgotten. */
export function beginAttempt(progress: Progress, store: Store): void {
  const { row } = progress;
  if (row.fixed.resumesDeterministically) {
    row.skip = row.chunks;
    return;
  }
  if (row.lastFrame > 0) store.removeFrames(row.id);
  row.chunks = 0;
  row.lastFrame = 0;
  progress.frames = [];
  progress.chunks = [];
  progress.logs = "";
}

/** Moves what was produced into the row of a prediction that has just finished. */
export function settleProgress(progress: Progress): void {
  const { row } = progress;
  if (progress.logs !== "") row.logs = progress.logs;
  if (row.output === null && row.outputBlob === null && progress.chunks.length > 0) row.output = progress.chunks;
}

/** Lays what came so far over a snapshot of the stored row. */
export function showProgress(snapshot: PredictionSnapshot, progress: Progress): PredictionSnapshot {
  const output = progress.chunks.length > 0 ? [...progress.chunks] : null;
  return { ...snapshot, output, logs: progress.logs };
}

export const startFrame: StreamFrame = { seq: 0, type: "start", data: null };

/**
 * Every frame of a prediction after `afterSeq`, for a reader that comes now. Where no frames of a finished one were stored they are
 * made of the row.
 */
export function framesAfter(progress: Progress, afterSeq: number, store: Store): StreamFrame[] {
  const { row } = progress;
  const frames: StreamFrame[] = row.startedAt === null ? [] : [startFrame];
  const stored = row.lastFrame > 0 ? store.frames(row.id) : [];
  frames.push(...stored, ...progress.frames);
  if (isFinished(row.state)) frames.push(...tailFrames(row, stored.length > 0));
  return frames.filter((frame) => afterSeq === 0 || frame.seq > afterSeq || frame.type === "completed");
}

/** The frames that end a stream: what no frame carried so far, and `completed`. */
export function tailFrames(row: Row, framed: boolean): StreamFrame[] {
  const frames: StreamFrame[] = [];
  let seq = row.lastFrame;
  const add = (type: StreamFrame["type"], data: Json) => frames.push({ seq: (seq += 1), type, data });
  if (!framed && row.logs !== "") add("log", row.logs);
  if (row.output !== null && !(framed && row.chunks > 0)) {
    const chunks = row.chunks > 0 && Array.isArray(row.output) ? row.output : [row.output];
    for (const chunk of chunks) add("output", chunk);
  }
  const { state, error, metrics, outputBlob } = row;
  add("completed", { status: state, error, metrics, outputBlob });
  return frames;
}

function absorb(progress: Progress, frame: StreamFrame): void {
  if (frame.type === "output") progress.chunks.push(frame.data);
  if (frame.type === "log" && typeof frame.data === "string") {
    const logs = progress.logs + frame.data;
    progress.logs = logs.length > MAX_LOG_CHARS ? logs.slice(-MAX_LOG_CHARS) : logs;
  }
}
