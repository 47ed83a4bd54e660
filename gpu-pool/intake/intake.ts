/** What brings a lane's jobs in from a log, beside the control channel. */
import type { ModelRoom } from "../../src/contract/channel.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { Claiming } from "./claiming.ts";
import type { JobSource } from "./job-source.ts";

export type Intake = {
  /** In a word, for people. */
  readonly state: string;
  start(): void;
  /** There is work on this lane. */
  work(): void;
  /** The control channel opened or closed. */
  channelChanged(): void;
  /** Room may have changed. */
  roomChanged(): void;
  /** Ends intake: no poll begins any more. Resolves within `limitMs`. */
  stop(limitMs: number): Promise<void>;
};

export type IntakeOptions = {
  source: JobSource;
  claiming: Claiming;
  clock: Clock;
  /** What the pool has room for on this lane. */
  rooms(): readonly ModelRoom[];
  channelOpen(): boolean;
  /** A poll says these rooms to the lane. */
  onPoll(rooms: readonly ModelRoom[]): () => void;
  /** The log works (null) or fails (why). Called on every poll that ended. */
  onState(problem: string | null): void;
};

export function totalRoom(rooms: readonly ModelRoom[]): number {
  return rooms.reduce((sum, { room }) => sum + room, 0);
}
