/** What lanes told last, and what has happened since they told before. */
import { OVERALL_MAX_VERSIONS } from "./limits.ts";
import type { LaneDemand, SessionDemand, VersionDemand } from "../demand.ts";
import type { Heard } from "./appetite.ts";

/** `shares`: machines that the version has; of those where others run too, its share of what runs. */
export type News = { demand: VersionDemand; heard: Heard; shares: number };

type Known = { report: LaneDemand; versions: Map<string, VersionDemand> };

export const keyOf = ({ model, version }: { model: string; version: string }): string => `${model} ${version}`;

export class Lanes {
  readonly #lanes = new Map<string, Known>();
  readonly #toldBefore: ReadonlySet<string>;

  /** `toldBefore`: lanes that told an earlier life of the scaler. */
  constructor(toldBefore: Iterable<string> = []) {
    this.#toldBefore = new Set(toldBefore);
  }

  names(): string[] {
    return [...this.#lanes.keys()];
  }

  /**
   * Takes a lane's word; one that is older than the last changes nothing. `isLate`: what it counted so far was no news
   * when it came, since nothing could be rented.
   */
  hear(lane: string, report: LaneDemand, isLate = false): News[] {
    const before = this.#lanes.get(lane);
    const isSame = before?.report.life === report.life;
    if (isSame && report.n <= before.report.n) return [];
    const versions = new Map(report.versions.slice(0, OVERALL_MAX_VERSIONS).map((one) => [keyOf(one), one]));
    this.#lanes.set(lane, { report, versions });
    const running = this.#running();
    const news = [...versions.values()].map((demand) => {
      const old = before?.versions.get(keyOf(demand)) ?? null;
      const shares = sharesOf(demand, running);
      const isAgain = before === undefined && this.#toldBefore.has(lane);
      if (isLate || isAgain) return { demand, heard: onlyThere(demand), shares };
      return { demand, heard: isSame ? since(old, demand) : sinceOther(old, demand), shares };
    });
    const gone = [...(before?.versions ?? [])].filter(([key]) => !versions.has(key));
    return [...news, ...gone.map(([, old]) => ({ demand: emptied(old), heard: nothing, shares: 0 }))];
  }

  /** How many predictions of all versions run on each session. */
  #running(): Map<string, number> {
    const running = new Map<string, number>();
    for (const { session } of this.sessions())
      running.set(session.session, (running.get(session.session) ?? 0) + session.inFlight);
    return running;
  }

  /** Every session that any lane names, with what it says of each version. */
  *sessions(): Iterable<{ lane: string; key: string; session: SessionDemand }> {
    for (const [lane, { versions }] of this.#lanes)
      for (const [key, { sessions }] of versions) for (const session of sessions) yield { lane, key, session };
  }

  /** Those that any lane names for a version. */
  *sessionsOf(key: string): Iterable<SessionDemand> {
    for (const { versions } of this.#lanes.values()) yield* versions.get(key)?.sessions ?? [];
  }
}

const nothing: Heard = { arrived: 0, started: 0, waitedMs: 0, ended: 0, endedMs: 0 };

function since(old: VersionDemand | null, now: VersionDemand): Heard {
  const of = (name: keyof Heard): number => Math.max(0, now[name] - (old?.[name] ?? 0));
  return {
    arrived: of("arrived"),
    started: of("started"),
    waitedMs: of("waitedMs"),
    ended: of("ended"),
    endedMs: of("endedMs"),
  };
}

/** The lane started again: what it counts from its start on may have been told before. */
function sinceOther(old: VersionDemand | null, now: VersionDemand): Heard {
  return old === null ? since(null, now) : nothing;
}

/** Of what the lane counted before the scaler listened, or to an earlier life of it: what has not ended may be new. */
function onlyThere({ arrived, waiting, inFlight }: VersionDemand): Heard {
  return { ...nothing, arrived: Math.min(arrived, waiting.high + waiting.normal + inFlight) };
}

/** Where it is ready and nothing runs, it has the whole machine. */
function sharesOf({ sessions }: VersionDemand, running: ReadonlyMap<string, number>): number {
  let shares = 0;
  for (const { session, inFlight, readyInMs } of sessions) {
    if (readyInMs !== 0) continue;
    const all = running.get(session) ?? 0;
    shares += all === 0 ? 1 : inFlight / all;
  }
  return shares;
}

function emptied(old: VersionDemand): VersionDemand {
  return { ...old, waiting: { high: 0, normal: 0, low: 0 }, waitingMs: 0, inFlight: 0, sessions: [] };
}
