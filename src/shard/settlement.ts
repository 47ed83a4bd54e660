/**
 * What plugins had reserved for predictions that have ended goes back to its services. It stands in the row until its
 * service has it back, so that whatever dies in between it is given back again; a service knows one that it has had.
 */
import type { ReservationEnd } from "../../plugins/kernel/reservations.ts";
import { log } from "../telemetry/log.ts";
import { costMayChange } from "./cost.ts";
import { dueAt } from "./machine.ts";
import type { Progress } from "./progress.ts";
import { isPurged } from "./retention.ts";
import { isFinished, statusOf } from "./row.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Store } from "./store.ts";
import { awaitsUsage } from "./usage.ts";

/** After the end, when the service should long have it, and from then on. */
const AGAIN_MS = 2000;
const LATER_MS = 30_000;

/** Larger outputs are nothing to remember: they would wait here for their service. */
const MAX_ANSWER_CHARS = 128 * 1024;

type Deps = {
  rules: Rules;
  now: () => number;
  store: Store;
  load: (id: string) => Progress | null;
  noteWake: (row: Row) => void;
};

export type Settlement = ReturnType<typeof createSettlement>;

export function createSettlement({ rules, now, store, load, noteWake }: Deps) {
  const waiting = new Map<string, Map<string, ReservationEnd>>();

  function giveBack(ends: readonly ReservationEnd[]): void {
    for (const end of ends) {
      const ofService = waiting.get(end.service) ?? new Map<string, ReservationEnd>();
      ofService.set(end.id, end);
      waiting.set(end.service, ofService);
    }
  }

  return {
    /** What is to be given back, by service. */
    waiting,

    /** The row ends, or its cost is known only now; the caller stores it. */
    ended(row: Row): void {
      if (row.reservations === null) return;
      if (row.handAt !== null) return giveBack(endsOf(row).filter(({ needsCost }) => needsCost === true));
      row.handAt = now() + AGAIN_MS;
      giveBack(endsOf(row));
    },

    /** The row woke up; the caller stores it. */
    again(row: Row): void {
      if (row.reservations === null || !isFinished(row.state) || now() < (row.handAt ?? 0)) return;
      row.handAt = now() + LATER_MS;
      giveBack(endsOf(row));
    },

    /**
     * Whether an ended row must stay because a service doesn't have back what was reserved, or its cost: for as long as
     * data usually stays, however short its own time is. A row that waits for a correction alone isn't held.
     */
    holds: ({ reservations, handAt, completedAt }: Row): boolean =>
      reservations !== null && handAt !== null && now() < (completedAt ?? 0) + rules.retentionMs,

    /** Takes out the first `limit` for a service. */
    take(service: string, limit: number): ReservationEnd[] {
      const ofService = waiting.get(service) ?? new Map<string, ReservationEnd>();
      const taken = [...ofService.values()].slice(0, limit);
      for (const { id } of taken) ofService.delete(id);
      if (ofService.size === 0) waiting.delete(service);
      return taken;
    },

    /**
     * Of these, the predictions whose data was removed before the service had them: their outputs may have come to it
     * behind the removal, which had them forgotten.
     */
    removed(ends: readonly ReservationEnd[]): { accountId: string; responseKey: string }[] {
      return ends.flatMap(({ predictionId, service }) => {
        const row = service === "responses" ? load(predictionId)?.row : undefined;
        if (row?.fixed.responseKey === undefined || !isPurged(row)) return [];
        return [{ accountId: row.accountId, responseKey: row.fixed.responseKey }];
      });
    },

    /** The service has these back. */
    settled(ends: readonly ReservationEnd[]): void {
      for (const { predictionId, id, mayChange } of ends) {
        const row = load(predictionId)?.row;
        if (row === undefined || row.reservations === null) continue;
        // One that was settled by an estimate stays for its correction, which gives it back once more.
        const left = mayChange === true ? row.reservations : row.reservations.filter((one) => one.id !== id);
        row.reservations = left.length === 0 ? null : left;
        if (left.every(({ needsCost }) => needsCost === true && costMayChange(row))) row.handAt = null;
        row.wakeAt = dueAt(row, rules);
        store.settled(row);
        noteWake(row);
      }
    },

    /** There is no such service any more. */
    unknown(service: string, ends: readonly ReservationEnd[]): void {
      log.error("reservation_service_unknown", { service, reservations: ends.length });
      this.settled(ends);
    },
  };
}

/** Whether `given` is what made `known`, sent again as its answer was lost: reservations are made for one request. */
export function holdsTheSame(known: Row, given: Row): boolean {
  const [first] = given.reservations ?? [];
  return first !== undefined && (known.reservations ?? []).some(({ id }) => id === first.id);
}

/** What is settled by the cost waits for that: a run that was stopped is told of a moment after the end. */
function endsOf(row: Row): ReservationEnd[] {
  const settled = (row.reservations ?? []).filter(({ needsCost }) => needsCost !== true || !awaitsUsage(row));
  return settled.map((reservation) => ({
    ...reservation,
    how: row.attempt > 0 ? "settle" : "release",
    predictionId: row.id,
    accountId: row.accountId,
    model: row.fixed.model,
    status: statusOf(row.state),
    attempt: row.attempt,
    cost: row.fixed.cost,
    costNano: row.costNano ?? 0,
    ...(reservation.needsCost === true && costMayChange(row) ? { mayChange: true } : {}),
    metrics: row.metrics,
    ...(reservation.service === "responses" ? answerOf(row) : {}),
  }));
}

/** The output of one that ran and succeeded, where it is kept in the row, and not removed. */
function answerOf(row: Row): Pick<ReservationEnd, "answer"> {
  const { state, attempt, output, outputBlob, chunks } = row;
  if (isPurged(row)) return {};
  if (state !== "succeeded" || attempt === 0 || outputBlob !== null) return {};
  if (JSON.stringify(output).length > MAX_ANSWER_CHARS) return {};
  return { answer: { output, yielded: chunks > 0 } };
}
