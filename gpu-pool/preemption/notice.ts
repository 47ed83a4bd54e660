/** Word that this host is about to be taken away, from the cloud that rents it out. */

export type Notice = {
  /** In how many milliseconds the host may be gone. */
  withinMs: number;
  /** Who said so, for people. */
  why: string;
};

/** A call to the metadata service of the host. Rejects where nothing answers in time. */
export type Ask = (
  method: "GET" | "PUT",
  path: string,
  headers: Record<string, string>,
  timeoutMs?: number,
) => Promise<Answer>;

/** `dateMs`: the service's own clock, as its answer has it; null where it has none. */
export type Answer = {
  status: number;
  text: string;
  headers: Record<string, string | string[] | undefined>;
  dateMs: number | null;
};

export type Cloud = {
  /** How long to wait between looks. */
  readonly everyMs: number;
  /** Whether this host is one of this cloud's: its metadata service answers as that cloud's does. */
  probe(): Promise<boolean>;
  /** Looks once; a service that tells of changes itself may take its time. Null: the host stays. */
  look(): Promise<Notice | null>;
};

/** The header names whole seconds: as much later may it be. */
const WITHIN_A_SECOND_MS = 999;

/** From now, by the clock of who told it, to a time that it named; never less than 0 nor more than `mostMs`. */
export function millisecondsTo(time: string, { dateMs }: Answer, mostMs: number): number {
  const leftMs = Date.parse(time) - (dateMs === null ? Date.now() : dateMs + WITHIN_A_SECOND_MS);
  return Number.isFinite(leftMs) ? Math.min(mostMs, Math.max(0, leftMs)) : mostMs;
}

/** What of the time is for what runs; the rest is for handing back what did not finish. */
export function timeToFinishMs(withinMs: number): number {
  return Math.max(0, withinMs - Math.min(5000, Math.max(1000, withinMs / 5)));
}
