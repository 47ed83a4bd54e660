/**
 * When the processes of a model lived, and when they worked (in `setup()` or in a prediction): what appeared in its
 * folder while it worked is the model's own. Every pool keeps one note a model, `lives-<pool>.json` beside the record;
 * the note's age tells how far a life reached that was cut off.
 *
 *   began ──▶ lives, works ⇄ rests ── ended ──▶ closed
 *
 * The note is written before a process begins and after the last has ended, and brought up to date every 5 s: a
 * prediction waits for no disk.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import type { Clock } from "../../scheduling/clock.ts";

const BEAT_MS = 5000;
/** So long after its last sign may a life have gone on that was cut off. */
const CUT_OFF_MS = 2 * BEAT_MS;
/** So long after its work may a model still write. Pauses that are no longer are work. */
const TAIL_MS = 5000;
/**
 * The clock of a file system ticks slower than the host's: a file may seem older than the work in which it was written.
 */
const SLACK_MS = 100;
/** Of a model that begins and rests all the time, the oldest spans become one. */
const MAX_SPANS = 100;

/** From and to, in milliseconds since 1970. */
export type Span = { fromMs: number; toMs: number };
/** `working` is part of `living`. */
export type Lives = { living: Span[]; working: Span[] };

/** What a process says of itself. It works when it begins. */
export type Life = { works(): void; rests(): void; ended(): void };

const OpenSpanSchema = z.object({ fromMs: z.number(), toMs: z.number().nullable() });
const NoteSchema = z.object({ living: z.array(OpenSpanSchema), working: z.array(OpenSpanSchema) });
type OpenSpan = z.infer<typeof OpenSpanSchema>;
type Note = z.infer<typeof NoteSchema>;

const NAME = /^lives-[\w.-]+\.json$/;
/** Those to close when this process exits. */
const open = new Set<ModelLives>();
process.on("exit", () => {
  for (const lives of open) lives.close();
});

/** What one pool notes of one model. */
export class ModelLives {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #note: Note = { living: [], working: [] };
  #alive = 0;
  #atWork = 0;
  /** The note on the disk says something else. */
  #isStale = false;
  #stopBeating: () => void = () => {};

  constructor(notesDir: string, pool: string, clock: Clock) {
    this.#path = noteOf(notesDir, pool);
    this.#clock = clock;
  }

  /** A process is about to begin. */
  began(): Life {
    this.#alive += 1;
    if (this.#alive === 1) {
      open.add(this);
      begin(this.#note.living, 0);
      this.#beat();
    }
    let isWorking = false;
    let isOver = false;
    const rests = (): void => {
      if (!isWorking) return;
      isWorking = false;
      this.#atWork -= 1;
      if (this.#atWork === 0) this.#rest();
    };
    const works = (): void => {
      if (isWorking || isOver) return;
      isWorking = true;
      this.#atWork += 1;
      if (this.#atWork === 1) this.#work();
    };
    works();
    this.#write();
    return {
      works,
      rests,
      ended: () => {
        rests();
        if (isOver) return;
        isOver = true;
        this.#alive -= 1;
        if (this.#alive === 0) this.close();
      },
    };
  }

  /** No process lives any more. */
  close(): void {
    open.delete(this);
    this.#stopBeating();
    end(this.#note.working);
    end(this.#note.living);
    this.#write();
  }

  #work(): void {
    begin(this.#note.working, TAIL_MS);
    this.#isStale = true;
  }

  #rest(): void {
    end(this.#note.working);
    this.#isStale = true;
  }

  #beat(): void {
    this.#stopBeating = this.#clock.after(BEAT_MS, () => {
      if (this.#isStale) this.#write();
      else this.#touch();
      this.#beat();
    });
  }

  #touch(): void {
    try {
      utimesSync(this.#path, new Date(), new Date());
    } catch {
      this.#write();
    }
  }

  /**
   * A disk that is full costs the note, and no prediction: what the model writes meanwhile then counts as its author's.
   */
  #write(): void {
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      writeFileSync(this.#path, JSON.stringify(this.#note));
      this.#isStale = false;
    } catch {
      this.#isStale = true;
    }
  }
}

/** Opens a span; the last one again, if it ended at most `pauseMs` ago. */
function begin(spans: OpenSpan[], pauseMs: number): void {
  const nowMs = Date.now();
  const last = spans.at(-1);
  if (last !== undefined && nowMs - (last.toMs ?? nowMs) < pauseMs) {
    last.toMs = null;
    return;
  }
  spans.push({ fromMs: nowMs, toMs: null });
  const [first, second] = spans;
  if (spans.length > MAX_SPANS && first !== undefined && second !== undefined)
    spans.splice(0, 2, { fromMs: first.fromMs, toMs: second.toMs });
}

function end(spans: OpenSpan[]): void {
  const last = spans.at(-1);
  if (last !== undefined) last.toMs ??= Date.now();
}

/** All lives that pools noted. Of one that was cut off, or goes on, what it did since its last sign is work. */
export function readLives(notesDirs: readonly string[]): Lives {
  const lives: Lives = { living: [], working: [] };
  for (const { note, signMs } of notesDirs.flatMap(notesIn)) {
    const endMs = signMs + CUT_OFF_MS;
    const living = note.living.map(({ fromMs, toMs }) => ({ fromMs: fromMs - SLACK_MS, toMs: toMs ?? endMs }));
    const working = note.working.map(({ fromMs, toMs }) => ({
      fromMs: fromMs - SLACK_MS,
      toMs: toMs === null ? endMs : Math.min(toMs + TAIL_MS, endOfLife(living, toMs)),
    }));
    if (note.living.at(-1)?.toMs === null) working.push({ fromMs: signMs, toMs: endMs });
    lives.living.push(...living);
    lives.working.push(...working);
  }
  return lives;
}

function endOfLife(living: readonly Span[], atMs: number): number {
  return living.find(({ fromMs, toMs }) => fromMs <= atMs && atMs <= toMs)?.toMs ?? Infinity;
}

/** Forgets the lives that are over, of `pool` all of them: what lies in the folder now is told apart already. */
export function forgetLives(notesDir: string, pool: string): void {
  for (const { path, note, signMs } of notesIn(notesDir)) {
    const goesOn = note.living.some(({ toMs }) => toMs === null) && signMs + CUT_OFF_MS > Date.now();
    if (!goesOn || path === noteOf(notesDir, pool)) rmSync(path, { force: true });
  }
}

function noteOf(notesDir: string, pool: string): string {
  return join(notesDir, `lives-${pool.replaceAll(/[^\w.-]/g, "_")}.json`);
}

type Found = { path: string; note: Note; signMs: number };

function notesIn(notesDir: string): Found[] {
  try {
    return readdirSync(notesDir).flatMap((name) => (NAME.test(name) ? readNote(join(notesDir, name)) : []));
  } catch {
    return [];
  }
}

/** One that is gone by now, or was cut off as it was written, tells nothing. */
function readNote(path: string): Found[] {
  try {
    const note = NoteSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    return [{ path, note, signMs: statSync(path).mtimeMs }];
  } catch {
    return [];
  }
}
