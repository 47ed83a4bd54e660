/**
 * When the processes of a model lived: what appeared in its folder meanwhile is the model's own. Every pool keeps one note a model
 * (`lives-<pool>.json` beside the record); the note's age tells how far a life reached that was cut off.
 *
 *   began ──▶ the note has an open life, and is touched every 5 s ── ended ──▶ closed
 *
 * A model may have several processes: a life is from the first that begins to the last that ends.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import type { Clock } from "../../scheduling/clock.ts";

const BEAT_MS = 5000;
/** So long after its last sign may a life have gone on that was cut off. */
const CUT_OFF_MS = 2 * BEAT_MS;
/** The clock of a file system ticks slower than the host's: a file may seem older than the life in which it was written. */
const SLACK_MS = 100;
/** Of a model that restarts all the time, the oldest lives become one. */
const MAX_LIVES = 100;

/** From and to, in milliseconds since 1970. */
export type Life = { fromMs: number; toMs: number };

const NoteSchema = z.array(z.object({ fromMs: z.number(), toMs: z.number().nullable() }));
type Note = z.infer<typeof NoteSchema>;

const NAME = /^lives-[\w.-]+\.json$/;
/** Those to close when this process exits. */
const running = new Set<ModelLives>();
process.on("exit", () => {
  for (const lives of running) lives.close();
});

/** What one pool notes of one model. */
export class ModelLives {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #note: Note = [];
  #processes = 0;
  #stopBeating: () => void = () => {};

  constructor(notesDir: string, pool: string, clock: Clock) {
    this.#path = noteOf(notesDir, pool);
    this.#clock = clock;
  }

  /** A process is about to begin; the returned function says, once, that it has ended. */
  began(): () => void {
    this.#processes += 1;
    if (this.#processes === 1) {
      running.add(this);
      this.#note.push({ fromMs: Date.now(), toMs: null });
      this.#write();
      this.#beat();
    }
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#processes -= 1;
      if (this.#processes === 0) this.close();
    };
  }

  /** No process lives any more. */
  close(): void {
    running.delete(this);
    this.#stopBeating();
    const last = this.#note.at(-1);
    if (last === undefined || last.toMs !== null) return;
    last.toMs = Date.now();
    this.#write();
  }

  #beat(): void {
    this.#stopBeating = this.#clock.after(BEAT_MS, () => {
      try {
        utimesSync(this.#path, new Date(), new Date());
      } catch {
        this.#write();
      }
      this.#beat();
    });
  }

  /** A disk that is full costs the note, and no prediction. */
  #write(): void {
    const [first, second] = this.#note;
    if (this.#note.length > MAX_LIVES && first !== undefined && second !== undefined)
      this.#note.splice(0, 2, { fromMs: first.fromMs, toMs: second.toMs });
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      writeFileSync(this.#path, JSON.stringify(this.#note));
    } catch {
      // What the model writes meanwhile counts as its author's.
    }
  }
}

/** All lives that pools noted. */
export function readLives(notesDir: string): Life[] {
  return notes(notesDir).flatMap(({ note, touchedAtMs }) =>
    note.map(({ fromMs, toMs }) => ({
      fromMs: fromMs - SLACK_MS,
      toMs: toMs ?? touchedAtMs + CUT_OFF_MS,
    })),
  );
}

/** Forgets the lives that are over, of `pool` all of them: what lies in the folder now is told apart already. */
export function forgetLives(notesDir: string, pool: string): void {
  for (const { path, note, touchedAtMs } of notes(notesDir)) {
    const goesOn = note.some(({ toMs }) => toMs === null) && touchedAtMs + CUT_OFF_MS > Date.now();
    if (!goesOn || path === noteOf(notesDir, pool)) rmSync(path, { force: true });
  }
}

function noteOf(notesDir: string, pool: string): string {
  return join(notesDir, `lives-${pool.replaceAll(/[^\w.-]/g, "_")}.json`);
}

function notes(notesDir: string): { path: string; note: Note; touchedAtMs: number }[] {
  try {
    return readdirSync(notesDir).flatMap((name) => (NAME.test(name) ? readNote(join(notesDir, name)) : []));
  } catch {
    return [];
  }
}

/** One that is gone by now, or was cut off as it was written, tells nothing. */
function readNote(path: string): { path: string; note: Note; touchedAtMs: number }[] {
  try {
    const note = NoteSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    return [{ path, note, touchedAtMs: statSync(path).mtimeMs }];
  } catch {
    return [];
  }
}
