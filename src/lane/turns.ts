/** Which of several versions is next where they want the same session's room. */
import type { CreditBook, Session } from "./credit.ts";
import type { Version } from "./version.ts";
import { priorityWeights } from "./fair-queue.ts";

/**
 * Of the versions that a session has room for, the one that had least of it for those that wait. Null: there is none.
 */
export function nextVersion(
  session: Session,
  versions: readonly Version[],
  credit: CreditBook,
  mayRun: (version: Version) => boolean,
): Version | null {
  let best: Version | null = null;
  let least = Infinity;
  for (const version of versions) {
    if (version.available === 0 || credit.rawRoom(session, version.key) === 0 || !mayRun(version)) continue;
    const tag = Math.max(session.credits.get(version.key)?.tag ?? 0, session.virtual);
    if (tag >= least) continue;
    least = tag;
    best = version;
  }
  if (best !== null) session.virtual = least;
  return best;
}

/** The version had `ms` of the session. The more want it, the more of the session is its share. */
export function noteTurn(session: Session, { key, node }: Version, ms: number): void {
  const credit = session.credits.get(key);
  if (credit === undefined) return;
  const { high, normal, low } = node.inner;
  const share = priorityWeights.high * high.heap.size + priorityWeights.normal * normal.heap.size + low.heap.size;
  credit.tag = Math.max(credit.tag, session.virtual) + ms / Math.max(1, share);
}

/**
 * How many more of a version may go to the log: as far as pools have room, or a few while none serves it, less what is
 * there and not granted.
 */
export function windowOf({ key, released }: Version, credit: CreditBook, rules: { unservedWindow: number }): number {
  const serving = credit.serving(key);
  let room = serving.length === 0 ? rules.unservedWindow : 0;
  for (const session of serving) room += credit.room(session, key);
  return room - released.size;
}
