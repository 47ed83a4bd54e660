/** What a lane counts of each model from its start on, and the jobs that it counts. */
import type { VersionDemand } from "../../../src/scaling/demand.ts";

export type Job = { model: string; workS: number; atS: number; startedS: number | null; on: string | null };
type Totals = Pick<VersionDemand, "arrived" | "started" | "waitedMs" | "ended" | "endedMs">;

export class Tally {
  readonly #totals = new Map<string, Totals>();

  of(model: string): Totals {
    const totals = this.#totals.get(model) ?? { arrived: 0, started: 0, waitedMs: 0, ended: 0, endedMs: 0 };
    this.#totals.set(model, totals);
    return totals;
  }

  start(job: Job, on: string, nowS: number): void {
    Object.assign(job, { on, startedS: nowS });
    const totals = this.of(job.model);
    totals.started += 1;
    totals.waitedMs += (nowS - job.atS) * 1000;
  }

  /** Takes out the jobs that have ended by now. */
  end<T extends Job>(jobs: T[], nowS: number): { ended: T[]; left: T[] } {
    const hasEnded = ({ startedS, workS }: T): boolean => startedS !== null && nowS - startedS >= workS;
    const ended = jobs.filter(hasEnded);
    for (const { model, workS } of ended) {
      const totals = this.of(model);
      totals.ended += 1;
      totals.endedMs += workS * 1000;
    }
    return { ended, left: jobs.filter((job) => !hasEnded(job)) };
  }
}
