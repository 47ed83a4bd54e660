/**
 * What devices hold beyond what is known of anybody: it is set down to the pool's own instances that are there, so that
 * ending them is seen to free it, until it was seen no more for `BEYOND_KEPT_MS`: it may have been another program's.
 */
import type { PlaceableInstance } from "./placeable.ts";

/** What a device held beyond what is known stays set aside so long after it was seen last: a run may take it again. */
const BEYOND_KEPT_MS = 1_800_000;

export class Beyond {
  /** What instances are taken to use of each of their devices, with what is set down to them. */
  readonly #bytes: Map<PlaceableInstance, number>;
  readonly #beyond = new WeakMap<PlaceableInstance, { bytes: number; seenAtMs: number }>();

  constructor(bytes: Map<PlaceableInstance, number>) {
    this.#bytes = bytes;
  }

  /** What is set down to it of each of its devices. */
  of(one: PlaceableInstance): number {
    return this.#beyond.get(one)?.bytes ?? 0;
  }

  /** Its bytes were set anew, and nothing of them is set down to it any more. */
  forget(one: PlaceableInstance): void {
    this.#beyond.delete(one);
  }

  setDown(one: PlaceableInstance, bytes: number, nowMs: number): void {
    this.#bytes.set(one, (this.#bytes.get(one) ?? 0) + bytes);
    this.#beyond.set(one, { bytes: (this.#beyond.get(one)?.bytes ?? 0) + bytes, seenAtMs: nowMs });
  }

  /** `unused`: what is set aside on a device and not in use. */
  takeBack(residents: readonly PlaceableInstance[], unused: number, nowMs: number): void {
    for (const one of residents) {
      const beyond = this.#beyond.get(one);
      if (beyond === undefined) continue;
      if (unused < beyond.bytes) beyond.seenAtMs = nowMs;
      if (nowMs - beyond.seenAtMs < BEYOND_KEPT_MS) continue;
      this.#bytes.set(one, (this.#bytes.get(one) ?? 0) - beyond.bytes);
      this.#beyond.delete(one);
      unused -= beyond.bytes;
    }
  }
}
