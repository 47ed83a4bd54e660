/**
 * Machines that were waited for long enough: in each state a machine may be for so long, by the scaler's own clock. An
 * object that has just started judges nobody yet: providers and pools had no chance to be heard, and what it takes a
 * machine's age to be may be the jump of a clock.
 */
import type { ScalingSettings } from "../../contract/scaling.ts";
import { settingsOf } from "./class-state.ts";
import { RETURN_MS } from "./machine-book.ts";
import type { MachineBook } from "./machine-book.ts";

/** Providers are heard within a minute. */
const GRACE_MS = 90_000;

type Life = { isHere(provider: string): boolean; sinceStartMs: number };

export function judgeTimes(book: MachineBook, settings: ScalingSettings, { isHere, sinceStartMs }: Life): void {
  if (sinceStartMs < GRACE_MS) return;
  for (const machine of book.all()) {
    const { boot_timeout_s: bootS, drain_timeout_s: drainS } = settingsOf(settings, machine.hardware);
    const ageMs = book.ageMs(machine);
    const { id, state, connectedAtMs, provider } = machine;
    const isComing = connectedAtMs === null && (state === "wanted" || state === "asked" || state === "booting");
    if (isComing && !isHere(provider) && ageMs > bootS * 1000) book.giveUp(id, "its provider is not heard");
    else if (state === "asked" && ageMs > bootS * 1000)
      book.neverConnected(id, `its provider showed no machine within ${bootS} s`);
    else if (state === "booting" && connectedAtMs === null && ageMs > bootS * 1000)
      book.neverConnected(id, `its pool did not connect within ${bootS} s`);
    else if (state === "booting" && connectedAtMs !== null && ageMs > RETURN_MS) book.notBack(id);
    else if (state === "draining" && ageMs > drainS * 1000)
      book.giveUp(id, `what ran there did not end within ${drainS} s`);
  }
}
