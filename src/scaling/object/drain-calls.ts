/** Pools that are to be told that they drain: each again after a while, until its session is over. */
import type { ScalingSettings } from "../../contract/scaling.ts";
import { settingsOf } from "./class-state.ts";
import type { MachineBook } from "./machine-book.ts";
import { Repeats } from "./repeats.ts";

const TELL_AGAIN_MS = 10_000;

export type DrainCall = { machine: string; session: string; withinMs: number };

export class DrainCalls {
  readonly #repeats = new Repeats(TELL_AGAIN_MS);

  due(book: MachineBook, settings: ScalingSettings, mono: number): DrainCall[] {
    const draining = book
      .all()
      .flatMap((machine) =>
        machine.state === "draining" && machine.session !== null
          ? { id: machine.id, session: machine.session, machine }
          : [],
      );
    return this.#repeats.due(draining, mono).map(({ id, session, machine }) => {
      const leftMs = settingsOf(settings, machine.hardware).drain_timeout_s * 1000 - book.ageMs(machine);
      return { machine: id, session, withinMs: Math.max(1, Math.round(leftMs)) };
    });
  }
}
