/**
 * Who answers for a disk that was full while a prediction ran. The first time it is the host: the prediction goes back
 * at no cost. Who fills it here again fails as one whose process died, so that its attempts are counted: an input that
 * fills every disk comes to an end.
 */

/** Those that are remembered; the oldest is forgotten. */
const REMEMBERED = 1000;

export class DiskFaults {
  readonly #ids = new Set<string>();

  /** Whether the prediction has met a full disk here before; from now on it has. */
  isAgain(id: string): boolean {
    if (this.#ids.has(id)) return true;
    this.#ids.add(id);
    for (const oldest of this.#ids) if (this.#ids.size > REMEMBERED) this.#ids.delete(oldest);
    return false;
  }
}
