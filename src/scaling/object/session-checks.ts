/**
 * Pool sessions to be looked at: a machine's, where the provider's lists lack the machine. A session tells its end by
 * itself, but for one that nobody woke since the edge was killed: its machine would count as there for good.
 */
import type { MachineBook } from "./machine-book.ts";
import { Repeats } from "./repeats.ts";

const LOOK_AGAIN_MS = 10_000;

export type SessionCheck = { machine: string; session: string };

export class SessionChecks {
  readonly #repeats = new Repeats(LOOK_AGAIN_MS);

  due(book: MachineBook, mono: number): SessionCheck[] {
    const disputed = book
      .all()
      .flatMap((machine) =>
        machine.session !== null && book.isDisputed(machine) ? { id: machine.id, session: machine.session } : [],
      );
    return this.#repeats.due(disputed, mono).map(({ id, session }) => ({ machine: id, session }));
  }
}
