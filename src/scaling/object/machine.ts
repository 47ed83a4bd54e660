/**
 * One machine, from the decision to rent it to the word of its provider that it is gone.
 *
 *   wanted ── told to the provider ──▶ asked ── in the provider's list ──▶ booting ── its pool says hello ──▶ connected
 *   connected ── a model of it serves ──▶ ready ── needed no more ──▶ draining
 *   draining ── its pool ended, or time is up ──▶ gone
 *   any ── refused, never connected, lost, self-test failed ──▶ gone ── in the provider's list no more ──▶ forgotten
 *
 * What is `gone` is to be returned: it stays until the provider's own list lacks it.
 */
import * as z from "zod";
import { MachineIdSchema } from "../../contract/provider.ts";
import type { ProviderMachine } from "../../contract/provider.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS = 12;

export const machineStates = ["wanted", "asked", "booting", "connected", "ready", "draining", "gone"] as const;
export type MachineState = (typeof machineStates)[number];

const TimeSchema = z.number().nullable();

/** Times are of the wall clock, in milliseconds since the epoch. */
export const MachineSchema = z.object({
  id: MachineIdSchema,
  hardware: z.string(),
  provider: z.string(),
  offer: z.string(),
  host: z.string().nullable(),
  zone: z.string().nullable(),
  isSpot: z.boolean(),
  devices: z.number(),
  pricePerHourNano: z.number(),
  billingIncrementS: z.number(),
  state: z.enum(machineStates),
  /** Why it is in this state, where that needs saying. */
  why: z.string(),
  /** Since when it is in this state. */
  sinceMs: z.number(),
  wantedAtMs: z.number(),
  /** When the provider first told of it, by the time that money is counted by: from then on it costs. */
  seenAtMs: TimeSchema,
  connectedAtMs: TimeSchema,
  readyAtMs: TimeSchema,
  /** The pool session that its token opened. */
  session: z.string().nullable(),
  /** The provider refused until then. */
  notBeforeMs: TimeSchema,
  /** Since when it costs and no pool meters its devices; null: a pool does, or it costs nothing yet. */
  unmeteredFromMs: TimeSchema,
  /** The version (`model version`) for which alone it was rented; null: several wanted it, or the settings did. */
  cause: z.string().nullable().default(null),
});
export type Machine = z.output<typeof MachineSchema>;

/** Its last sight of a machine, in memory only. */
export type Sight = {
  /** By the scaler's own clock, since when it is in its state. */
  sinceMono: number;
  /** By the same, when it was ordered. */
  wantedMono: number;
  /** Complete lists in a row that lacked it. */
  missed: number;
  listed: ProviderMachine["state"] | null;
};

export function newMachineId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_CHARS));
  return `m${Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join("")}`;
}

/** Whether it takes work, or will. */
export function isWorking({ state }: Machine): boolean {
  return state !== "draining" && state !== "gone";
}

/** What it costs until then, in whole increments. */
export function costNano({ seenAtMs, billingIncrementS, pricePerHourNano }: Machine, untilMs: number): number {
  if (seenAtMs === null) return 0;
  const increments = Math.max(1, Math.ceil((untilMs - seenAtMs) / 1000 / billingIncrementS));
  return Math.ceil((increments * billingIncrementS * pricePerHourNano) / 3600);
}

/** Seconds until the increment ends that is paid already. */
export function paidForS({ seenAtMs, billingIncrementS }: Machine, nowMs: number): number {
  if (seenAtMs === null) return 0;
  const elapsedS = Math.max(0, (nowMs - seenAtMs) / 1000);
  return Math.ceil(Math.max(elapsedS, 1e-3) / billingIncrementS) * billingIncrementS - elapsedS;
}
