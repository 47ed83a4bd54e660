/**
 * Pool sessions to be looked at: a machine's, where the provider's lists lack the machine. A session tells its end by
 * itself, but for one that nobody woke since the edge was killed: its machine would count as there for good.
 */
import type { MachineBook } from "./machine-book.ts";

const LOOK_AGAIN_MS = 10_000;

export type SessionCheck = { machine: string; session: string };

export class SessionChecks {
  readonly #lookedMono = new Map<string, number>();

  due(book: MachineBook, mono: number): SessionCheck[] {
    const disputed = book.all().filter((machine) => book.isDisputed(machine));
    const ids = new Set(disputed.map(({ id }) => id));
    for (const id of this.#lookedMono.keys()) if (!ids.has(id)) this.#lookedMono.delete(id);
    return disputed.flatMap(({ id, session }) => {
      if (session === null || mono - (this.#lookedMono.get(id) ?? -Infinity) < LOOK_AGAIN_MS) return [];
      this.#lookedMono.set(id, mono);
      return [{ machine: id, session }];
    });
  }
}
