/** What each of some pools has room for, for the operator. */
import type { CreditBook } from "./credit.ts";

/** What a problem's text may weigh in an answer about many pools. */
const MAX_PROBLEM_CHARS = 300;

export type PoolRoom = {
  session: string;
  /** Whether it has stated its room since the lane's start, and acknowledges its grants. */
  isHeard: boolean;
  models: {
    /** `owner/name version`. */
    key: string;
    room: number;
    startNow: number;
    readyInMs: number | null;
    problem: string | null;
  }[];
};

/** Of those that the lane knows. */
export function roomsOf(credit: CreditBook, names: readonly string[]): PoolRoom[] {
  return names.flatMap((name) => {
    const session = credit.sessions.get(name);
    if (session === undefined) return [];
    const models = [...session.credits].map(([key, { readyInMs, problem }]) => ({
      key,
      room: credit.rawRoom(session, key),
      startNow: credit.startNow(session, key),
      readyInMs,
      problem: problem?.slice(0, MAX_PROBLEM_CHARS) ?? null,
    }));
    return [{ session: name, isHeard: session.n !== null && !session.isSuspended, models }];
  });
}
