/**
 * What other programs use of each device. Where none of the pool's processes is, that is all that is used. Where one
 * is, it is never more than before, and never more than is used beside what the pool's processes took when they loaded.
 */
import type { PlaceableInstance } from "./placeable.ts";

export class Foreign {
  readonly #bytes = new Map<string, number>();
  /** What loads took of each of their devices, where that was measured. */
  readonly #took = new WeakMap<PlaceableInstance, ReadonlyMap<string, number>>();

  of(device: string): number {
    return this.#bytes.get(device) ?? 0;
  }

  /** A device was looked at. `processes`: those of the pool's that are there. */
  looked(device: string, usedBytes: number, processes: readonly PlaceableInstance[]): void {
    const ours = processes.reduce((sum, one) => sum + (this.#took.get(one)?.get(device) ?? 0), 0);
    const most = Math.max(0, usedBytes - ours);
    this.#bytes.set(device, processes.length === 0 ? usedBytes : Math.min(most, this.of(device)));
  }

  /** It is loaded, and nothing else changed on its devices meanwhile. */
  loaded(one: PlaceableInstance, before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
    this.#took.set(one, new Map(Array.from(after, ([id, bytes]) => [id, Math.max(0, bytes - (before.get(id) ?? 0))])));
  }

  /** It died or ended. */
  gone(one: PlaceableInstance): void {
    this.#took.delete(one);
  }
}
