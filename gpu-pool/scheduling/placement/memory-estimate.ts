/**
 * What an instance of a model takes of each of its devices: what its author says, until more is known; then what its
 * loads took, and what its processes say that they grew by since. Pure.
 *
 *   nothing, or a hint ── loaded ──▶ measured ── grew ──▶ more
 *   any ── ran out of memory beside others ──▶ alone (whole devices) ── loaded ──▶ measured
 *   any ── ran out of memory on a device of its own ──▶ what is more than it had there, and at least that
 */

/** Runs take memory that loading didn't; an author's hint includes it. */
const RUNS_MARGIN = 1.25;
/** Who ran out of memory beside others so often, however it was measured, stays alone. */
const MOST_SHORTFALLS = 3;
/** Who ran out of memory so often, wherever it was put, is tried no more. */
const MOST_TRIES = 8;

export class MemoryEstimate {
  /** The author's word, in bytes; null without one. It stays the least that is set aside. */
  hint: number | null;
  /** It gets its devices whole, until it was measured there. */
  alone = false;
  /** It takes more than this, whatever it takes. */
  least = 0;
  #measured: number | null = null;
  /** Others loaded meanwhile: the next load that is measured by itself says more. */
  #isDoubtful = false;
  #ofDevice = 0;
  #grownBy = 0;
  #shortfalls = 0;
  #tries = 0;

  constructor(hint: number | null) {
    this.hint = hint;
  }

  /** Null: nobody knows. */
  get bytes(): number | null {
    if (this.#measured === null) return this.hint;
    const margin = this.hint === null ? RUNS_MARGIN : 1;
    const grown = Math.max(this.#measured * margin, this.#measured + this.#grownBy);
    // It fits where it was.
    const measured = Math.max(this.#measured, Math.min(grown, this.#ofDevice));
    return Math.ceil(Math.max(this.hint ?? 0, this.least, measured));
  }

  /** What a load took of a device; null before the first. */
  get loadBytes(): number | null {
    return this.#measured;
  }

  /** It ran out of memory again and again. */
  get isHopeless(): boolean {
    return this.#tries > MOST_TRIES;
  }

  /**
   * A load took so much of a device; the smallest of those that it spans has `ofDevice`. Where others loaded on a
   * larger one meanwhile (`isDoubtful`), `bytes` is theirs, too: no more than `ofDevice` can have been its own.
   */
  loaded(bytes: number, ofDevice: number, isDoubtful = false): void {
    const before = this.#isDoubtful && !isDoubtful && bytes > 0 ? 0 : (this.#measured ?? 0);
    this.#measured = Math.max(before, Math.min(bytes, ofDevice));
    this.#isDoubtful = isDoubtful;
    this.#ofDevice = Math.max(this.#ofDevice, ofDevice);
    this.#tries = 0;
    this.alone = this.#shortfalls >= MOST_SHORTFALLS;
  }

  /** A process has allocated so much since it was loaded. */
  grew(bytes: number): void {
    this.#grownBy = Math.max(this.#grownBy, bytes);
  }

  /** It didn't fit beside others. */
  ranOut(): void {
    this.#tries += 1;
    this.#shortfalls += 1;
    this.alone = true;
  }

  /** So many bytes of a device were not enough. */
  exceeds(bytes: number): void {
    this.#tries += 1;
    if (this.hint !== null && this.hint <= bytes) this.hint = null;
    if (this.#measured !== null && this.#measured <= bytes) this.#measured = null;
    this.least = Math.max(this.least, bytes + 1);
  }
}
