/**
 * What a lane has to tell others at a moment: pools that there is work, shards that a pool has room for what waited
 * long enough, and whom to ask.
 */
import type { LaneCore } from "./core.ts";
import type { Session } from "./credit.ts";
import type { Due, LaneEntry } from "./types.ts";
import type { Version } from "./version.ts";

export function findDue(core: LaneCore, now: number, timed: ReadonlyMap<string, number>): Due {
  const due: Due = { pushes: new Map(), work: [], tell: [], fail: [], nextAt: null };
  const at = (time: number) => {
    due.nextAt = Math.min(due.nextAt ?? Infinity, time);
  };
  askForRoom(core, now, due, at);
  for (const version of core.versions.busy) {
    if (core.verdicts.failure(version.key, now) === null) match(core, version, now, due, at);
    else fail(core, version, now, due, at);
  }
  for (const markedAt of timed.values()) {
    at(markedAt + core.rules.handedMs);
    break;
  }
  const expiry = core.credit.nextExpiry();
  if (expiry !== null) at(expiry);
  const verdictEnd = core.versions.busy.size === 0 ? null : core.verdicts.nextEnd(now);
  if (verdictEnd !== null) at(verdictEnd);
  return due;
}

type At = (time: number) => void;

function askForRoom({ credit, rules }: LaneCore, now: number, due: Due, at: At): void {
  for (const session of credit.unknown) {
    if (session.asked >= rules.maxAsked || due.tell.length >= rules.maxDue) continue;
    const nextAt = session.asked === 0 ? now : session.askedAt + rules.askMs * 2 ** (session.asked - 1);
    if (nextAt > now) {
      at(nextAt);
      continue;
    }
    session.asked += 1;
    session.askedAt = now;
    due.tell.push(session.name);
    if (session.asked < rules.maxAsked) at(now + rules.askMs * 2 ** (session.asked - 1));
  }
}

function fail(core: LaneCore, version: Version, now: number, due: Due, at: At): void {
  const error = core.verdicts.failure(version.key, now);
  if (error === null) return;
  const entries: LaneEntry[] = [];
  while (entries.length < core.rules.maxDue) {
    const entry = core.pick(version, "failing", null, now);
    if (entry === null) break;
    entries.push(entry);
  }
  if (entries.length > 0) due.fail.push({ entries, error });
  if (version.available > 0) at(now + 50);
}

/** Brings what waits of a version together with the sessions that have room for it. */
function match(core: LaneCore, version: Version, now: number, due: Due, at: At): void {
  const { credit, rules } = core;
  const serving = credit.serving(version.key);
  const needed = version.available + version.released.size;
  let covered = roomComing(core, version, needed, now, at);
  for (let looked = 0; looked < Math.min(serving.length, rules.maxScanned); looked += 1) {
    const session = serving[(version.nextSession + looked) % serving.length];
    if (session === undefined || credit.room(session, version.key) === 0) continue;
    push(core, version, session, now, due, at);
    const room = credit.room(session, version.key);
    if (room === 0 || version.coming.has(session) || covered >= needed) continue;
    if (!nudge(core, version, session, now, due, at)) continue;
    covered += room;
    if (version.coming.size < rules.maxScanned) version.coming.add(session);
  }
  if (serving.length > rules.maxScanned) at(now + rules.nudgeMs);
  version.nextSession += Math.min(serving.length, rules.maxScanned);
}

/** The room of sessions that poll, or were told to, wherever they are among those that serve the version. */
function roomComing({ credit, rules }: LaneCore, version: Version, needed: number, now: number, at: At): number {
  let covered = 0;
  for (const session of version.coming) {
    if (covered >= needed) break;
    const room = credit.room(session, version.key);
    const last = Math.max(session.nudgedAt, session.polledAt);
    if (room > 0 && isComing(session) && now - last < rules.nudgeMs) {
      covered += room;
      at(last + rules.nudgeMs);
    } else version.coming.delete(session);
  }
  return covered;
}

function push(core: LaneCore, version: Version, session: Session, now: number, due: Due, at: At): void {
  const { credit, rules, backlog } = core;
  const roomSince = Math.max(session.credits.get(version.key)?.roomSince ?? now, session.polledAt);
  let left = Math.min(credit.room(session, version.key), rules.maxDue);
  const pushed: LaneEntry[] = [];
  for (const id of version.released) {
    if (left === 0) break;
    const mark = backlog.marks.get(id);
    if (mark === undefined || now - mark.about.pushedAt < rules.handedMs) continue;
    const since = Math.max(mark.about.at, roomSince);
    if (now - since < rules.pushAfterMs) {
      at(since + rules.pushAfterMs);
      break;
    }
    if (!core.mayRun(version, now)) break;
    pushed.push(core.pushReleased(id, mark, session, now));
    left -= 1;
  }
  while (left > 0 && version.available > 0 && core.mayRun(version, now)) {
    const flow = backlog.fair.next(version.node);
    const head = flow === null ? null : backlog.head(flow);
    if (head === null) break;
    const since = Math.max(roomSince, version.waitingSince ?? now, Math.min(head.createdAt, now));
    if (now - since < rules.pushAfterMs) {
      at(since + rules.pushAfterMs);
      break;
    }
    const entry = core.pick(version, "pushed", session, now);
    if (entry === null) break;
    pushed.push(entry);
    left -= 1;
  }
  if (pushed.length > 0) due.pushes.set(session.name, [...(due.pushes.get(session.name) ?? []), ...pushed]);
}

/** Tells a session that there is work, unless it polls anyway. Answers whether it will poll. */
function nudge({ rules }: LaneCore, version: Version, session: Session, now: number, due: Due, at: At): boolean {
  const last = Math.max(session.nudgedAt, session.polledAt);
  const comes = isComing(session);
  const since = Math.max(session.credits.get(version.key)?.roomSince ?? now, version.waitingSince ?? -Infinity);
  at(Math.max(now, last) + rules.nudgeMs);
  // What came in the same millisecond as a poll may have come after it.
  if (now - last < rules.nudgeMs && (comes || last > since)) return comes;
  if (due.work.length >= rules.maxDue) return false;
  session.nudgedAt = now;
  due.work.push(session.name);
  return true;
}

/** Whether the session polls by itself, or was told to and has not yet. */
function isComing({ isPolling, nudgedAt, polledAt }: Session): boolean {
  return isPolling || nudgedAt >= polledAt;
}
