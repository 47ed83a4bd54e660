/** The notes on the lives of the models that are here: a model that is replaced goes on with the one of its folder. */
import type { Clock } from "../../scheduling/clock.ts";
import { ModelLives } from "./model-lives.ts";

export class SharedLives {
  readonly #pool: string;
  readonly #clock: Clock;
  readonly #byFolder = new Map<string, { lives: ModelLives; users: number }>();

  constructor(pool: string, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** How many folders have one. */
  get size(): number {
    return this.#byFolder.size;
  }

  /** The note in this folder, until it is dropped as often as it was taken. */
  take(notesDir: string): ModelLives {
    const known = this.#byFolder.get(notesDir);
    const entry = known ?? { lives: new ModelLives(notesDir, this.#pool, this.#clock), users: 0 };
    entry.users += 1;
    this.#byFolder.set(notesDir, entry);
    return entry.lives;
  }

  drop(notesDir: string): void {
    const entry = this.#byFolder.get(notesDir);
    if (entry === undefined) return;
    entry.users -= 1;
    if (entry.users === 0) this.#byFolder.delete(notesDir);
  }
}
