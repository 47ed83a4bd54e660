/** What a scenario is: a load, something that goes wrong meanwhile, and how soon all must be well again. */
import type { StackOptions } from "../../../scripts/lib/stack.ts";
import type { Receiver } from "./receiver.ts";
import type { World } from "./world.ts";

/** Something was broken from `beganAt` to `endedAt` (ms since the epoch), when it was back or healed. */
export type Outage = {
  what: string;
  beganAt: number;
  endedAt: number;
  /** How long after `endedAt` the next success, and what the outage concerns, may take. */
  limitMs: number;
  /** What it concerns: what was running at `beganAt` (the default), or everything accepted before `endedAt`. */
  concerns?: "running" | "accepted";
};

export type Job = {
  input: Record<string, string | number>;
  /** True when it has to fail, in the end. */
  fails: boolean;
  /** How long a tail its output has, in characters. */
  tail?: number;
};

export type Scenario = {
  name: string;
  model: string;
  stack?: Partial<StackOptions>;
  /** Starts what the stack needs beside it, and answers the options that lead there; `end` is called last of all. */
  around?(): Promise<{ stack: Partial<StackOptions>; end(): Promise<void> }>;
  /** What its keys begin with, where several loads run side by side; "k". */
  keys?: string;
  /** How much of the usual number of predictions it sends; left out, all. */
  share?: number;
  /** How long the load lasts, at an even pace; without it as short as the machine's share of speed lets it be. */
  loadSeconds?: number;
  /** The `index`th of `count` predictions; without it all succeed. */
  job?(key: string, index: number, count: number): Job;
  /** Receivers of the webhooks, in turn; without it one that accepts everything. */
  receivers?(): Promise<Receiver[]>;
  /** Called before the load; what it answers is called at the end. */
  prepare?(world: World): Promise<() => Promise<void>>;
  /** Runs beside the load; answers what was broken and when. `load` tells how far the load is. */
  disturb(world: World, load: LoadView): Promise<Outage[]>;
  /**
   * For so long, in all, a pool counts its devices as held while no model holds them any more: it stood still, or
   * results that are large were on their way.
   */
  deviceSlackMs?: number;
  /** How long after load and disturbance everything may take to finish; what has not by then is stuck. */
  settleMs?: number;
};

export type LoadView = {
  /** Resolves when so many predictions (a share of all) have finished. */
  reached(share: number): Promise<void>;
  /** How long each create took that was sent and answered between those times (milliseconds since the epoch). */
  acceptsMs(from: number, to: number): number[];
};

/** The most that a scenario's predictions take at an even pace, so that a fault meets load whatever their number. */
export const LOAD_SECONDS = 12;
/** The aims are for a machine that carries so many and has time to spare. */
export const FASTEST_PER_SECOND = 170;

export function pacePerSecond(count: number, loadSeconds = LOAD_SECONDS): number {
  return Math.min(FASTEST_PER_SECOND, count / loadSeconds);
}

/** The function that the models compute. */
export function outputOf(key: string, number: number, tail = 0): string {
  return `${key}:${number * number}${"~".repeat(tail)}`;
}
