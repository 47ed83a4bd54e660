/**
 * Which lanes the scaler may have to call. Those that told of what waits: a new life of it has not heard their word.
 * And those that were told to ask rarely while nothing could be rented: their next word could be half a minute away.
 * Both are stored, since the object may start again in between.
 */
const MAX_LANES = 100;

type Name = "lanes" | "putOff";
type Store = { read(name: Name): string[] | null; write(name: Name, lanes: string[]): void };

export class LaneNames {
  readonly #store: Store;
  readonly #putOff: Set<string>;
  /** Those that told in this life: where more tell than are stored, no word writes. */
  readonly #noted = new Set<string>();

  constructor(store: Store) {
    this.#store = store;
    this.#putOff = new Set(store.read("putOff") ?? []);
  }

  /** This lane tells often now; answers whether it asked rarely before. Of more than so many, the latest are known. */
  tells(lane: string): boolean {
    this.#note(lane);
    if (!this.#putOff.delete(lane)) return false;
    this.#store.write("putOff", [...this.#putOff]);
    return true;
  }

  /** This lane asks rarely now. Of more than so many, the others wait for their own next word. */
  putOff(lane: string): void {
    if (this.#putOff.has(lane) || this.#putOff.size >= MAX_LANES) return;
    this.#putOff.add(lane);
    this.#store.write("putOff", [...this.#putOff]);
  }

  /** Those that ask rarely, and have not told since. */
  waiting(): string[] {
    return [...this.#putOff];
  }

  /** Those that told an earlier life, and are none of these. */
  silent(heard: Iterable<string>): string[] {
    const names = new Set(heard);
    return this.#told().filter((lane) => !names.has(lane));
  }

  #note(lane: string): void {
    if (this.#noted.has(lane)) return;
    this.#noted.add(lane);
    const known = this.#told();
    if (!known.includes(lane)) this.#store.write("lanes", [...known, lane].slice(-MAX_LANES));
  }

  #told(): string[] {
    return this.#store.read("lanes") ?? [];
  }
}
