/** What the lane tells the scaler of its versions: what waits, what runs where, and what happened since its start. */
import type { Priority } from "../contract/prediction.ts";
import type { DemandReply, SessionDemand, VersionDemand } from "../scaling/demand.ts";
import type { CreditBook } from "./credit.ts";
import type { Runs } from "./runs.ts";
import { versionKey } from "./types.ts";
import type { Verdicts } from "./verdicts.ts";
import type { Version } from "./version.ts";
import type { Versions } from "./versions.ts";

/** Versions of one report, and sessions of one version. */
const MAX_VERSIONS = 500;
const MAX_SESSIONS = 200;
const MAX_PROBLEM_CHARS = 1000;

/** A prediction was granted, so long after it was accepted. By the short way it never waited. */
export function noteStart({ totals }: Version, cameShortWay: boolean, priority: Priority, ageMs: number): void {
  totals.started += 1;
  if (cameShortWay) totals.arrived += Number(priority !== "low");
  else totals.waitedMs += Math.max(0, ageMs);
}

/** A prediction ended, and took so much of its device. */
export function noteEnd({ totals }: Version, ms: number): void {
  totals.ended += 1;
  totals.endedMs += ms;
}

type Known = { versions: Versions; credit: CreditBook; runs: Pick<Runs, "all">; verdicts: Pick<Verdicts, "refuse"> };

/** Of versions that nobody serves: when a machine will, or why none is rented for them. */
export function noteComing({ versions, credit, verdicts }: Known, said: DemandReply["versions"], now: number): void {
  for (const { model, version, coldStart, refused } of said) {
    const known = versions.get(versionKey({ model, version }));
    if (known === undefined) continue;
    // The release before tells none.
    known.coldStart = coldStart === null || coldStart === undefined ? null : { told: coldStart, at: now };
    const isServed = credit.serving(known.key).some((session) => session.credits.get(known.key)?.problem === null);
    if (refused !== null && !isServed) verdicts.refuse(known.key, `No machine runs this model: ${refused}`, now);
  }
}

/** Versions that something happened to, or that anybody serves. */
export function demandOf({ versions, credit, runs }: Known, now: number): VersionDemand[] {
  const inFlight = new Map<string, number>();
  for (const { version, session } of runs.all()) {
    const name = `${session} ${version.key}`;
    inFlight.set(name, (inFlight.get(name) ?? 0) + 1);
  }
  const told: VersionDemand[] = [];
  for (const version of versions.all()) {
    const { key, waiting, totals } = version;
    const serving = credit.serving(key);
    // What can wait isn't counted as it arrives.
    if (serving.length === 0 && totals.arrived + totals.started + waiting.low === 0) continue;
    const sessions = serving.slice(0, MAX_SESSIONS).map((session): SessionDemand => {
      const one = session.credits.get(key);
      return {
        session: session.name,
        inFlight: inFlight.get(`${session.name} ${key}`) ?? 0,
        startNow: credit.startNow(session, key),
        readyInMs: one?.readyInMs ?? null,
        problem: one?.problem?.slice(-MAX_PROBLEM_CHARS) ?? null,
      };
    });
    const since = version.waitingSince;
    told.push({
      model: version.model,
      version: version.version,
      waiting: { ...waiting },
      waitingMs: since === null ? 0 : Math.max(0, now - since),
      inFlight: version.inFlight,
      ...totals,
      sessions,
    });
    if (told.length >= MAX_VERSIONS) break;
  }
  return told;
}
