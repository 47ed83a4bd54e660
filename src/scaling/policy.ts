/**
 * What every scaling rule is to those that carry it out: it hears what happens, and says how many machines it wants.
 * Times are seconds of the caller's clock, which never goes back.
 */

/** The machines of one hardware class, and what waits for them. */
export type Fleet = {
  nowS: number;
  /** Predictions that wait, and for how long the first of them has. */
  waiting: number;
  oldestWaitS: number;
  running: number;
  /** Machines that take predictions, and those that will. Machines that drain are neither. */
  ready: number;
  booting: number;
};

export type Policy = {
  /** Whether a machine that is not needed stays until the increment ends for which it is paid. */
  readonly usesPaidTime: boolean;
  /** Of a prediction, as far as is known. Without it, what runs has no say in when a machine leaves. */
  readonly meanWorkS?: number;
  arrived(atS: number): void;
  started(atS: number, waitS: number): void;
  /** `workS`: for how long it held its slot. */
  finished(atS: number, workS: number): void;
  /** A machine that was rented took so long until it served. */
  booted(bootS: number): void;
  /** How many machines there should be, those that boot included. */
  machines(fleet: Fleet): number;
  /** While nothing is there and nothing waits: when it wants to be asked again; Infinity: with the next arrival. */
  wakeAtS(nowS: number): number;
  /**
   * While nothing waits, runs or boots: until when its wish stays what it was at the last look. Without it: never sure.
   */
  steadyUntilS?(nowS: number): number;
};

/** A policy and how often it looks. */
export type Timed = { policy: Policy; everyS: number };

/** The machines that can be rented. */
export type Machines = {
  /** From the order to the first slot. */
  bootS: number;
  /** Predictions that one runs at a time. */
  slots: number;
  /** What is paid is rounded up to whole increments. */
  billingS: number;
  /** How many machines out of one are lost an hour: exponential. */
  lossPerHour: number;
};
