/** Pools that are to be told that they drain: each again after a while, until its session is over. */
import type { ScalingSettings } from "../../contract/scaling.ts";
import { settingsOf } from "./class-state.ts";
import type { MachineBook } from "./machine-book.ts";

const TELL_AGAIN_MS = 10_000;
const MAX_REMEMBERED = 10_000;

export type DrainCall = { machine: string; session: string; withinMs: number };

export class DrainCalls {
  readonly #toldMono = new Map<string, number>();

  due(book: MachineBook, settings: ScalingSettings, mono: number): DrainCall[] {
    return book.all().flatMap((machine) => {
      const { id, state, session, hardware } = machine;
      if (state !== "draining" || session === null) return [];
      if (mono - (this.#toldMono.get(id) ?? -Infinity) < TELL_AGAIN_MS) return [];
      if (this.#toldMono.size > MAX_REMEMBERED) this.#toldMono.clear();
      this.#toldMono.set(id, mono);
      const leftMs = settingsOf(settings, hardware).drain_timeout_s * 1000 - book.ageMs(machine);
      return [{ machine: id, session, withinMs: Math.max(1, Math.round(leftMs)) }];
    });
  }
}
