/** Looks at the rows that are due: ends what is overdue, hands on again, has leases asked for and retention end. */
import type { createEndedOutbox } from "./ended-outbox.ts";
import type { createLeases } from "./leases.ts";
import * as machine from "./machine.ts";
import type { Effect } from "./machine.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Progress } from "./progress.ts";
import type { createRecovery } from "./recovery.ts";
import type { Retention } from "./retention.ts";
import { isFinished } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Settlement } from "./settlement.ts";
import type { Store } from "./store.ts";
import type { Woken } from "./types.ts";
import type { createUnlisted } from "./unlisted.ts";
import type { UsageOutbox } from "./usage-outbox.ts";
import type { createWakes } from "./wakes.ts";

/** Due rows that are handled in one go. */
const BATCH_ROWS = 100;

type Deps = {
  rules: Rules;
  now: () => number;
  store: Store;
  outgoing: Outgoing;
  wakes: ReturnType<typeof createWakes>;
  unlisted: ReturnType<typeof createUnlisted>;
  recovery: ReturnType<typeof createRecovery>;
  retention: Retention;
  settlement: Settlement;
  leases: ReturnType<typeof createLeases>;
  ended: ReturnType<typeof createEndedOutbox>;
  usage: UsageOutbox;
  load: (id: string) => Progress | null;
  /** Runs what changes a row alone; null: somebody is at it. */
  alone: <T>(id: string, run: () => T) => T | null;
  save: (progress: Progress, effects: readonly Effect[], settleWake: boolean) => void;
};

export function createWaking(deps: Deps) {
  const { rules, store, outgoing, wakes, unlisted, recovery, retention, settlement, leases, ended, usage } = deps;

  function wakeOne(progress: Progress, now: number, woken: Woken): void {
    const { row } = progress;
    const overdue = machine.expire(row, now);
    const effects = overdue ?? machine.stopAgain(row, now, rules);
    settlement.again(row);
    if (overdue === null && row.session !== null && machine.asksForUsage(row, now, rules))
      woken.checks.set(row.session, [...(woken.checks.get(row.session) ?? []), row.id]);
    if (overdue === null && isFinished(row.state) && now >= (machine.dueAt(row, rules) ?? Infinity)) {
      if (leases.mayTell(row)) {
        deps.save(progress, effects, false);
        return retention.postpone(row.id);
      }
      if (leases.giveUp(row)) deps.save(progress, [], false);
      const isHeld = ended.holds(row) || usage.holds(row) || settlement.holds(row);
      if (!row.strays && isHeld) retention.postpone(row.id);
      else retention.fallDue(row, woken);
      return;
    }
    if (row.state === "waiting" && row.handAt !== null && now >= row.handAt) {
      row.hands += 1;
      row.handAt = now + machine.sweepDelayMs(row.hands, rules);
      outgoing.hand(row);
    }
    if (row.checkAt !== null && now >= row.checkAt && row.session !== null) {
      leases.asked(row);
      woken.checks.set(row.session, [...(woken.checks.get(row.session) ?? []), row.id]);
    }
    deps.save(progress, effects, true);
  }

  return {
    /** Handles what is due, a hundred rows at a time; `more` when there may be more. */
    wake(): Woken {
      const now = deps.now();
      const due = wakes.due(now, BATCH_ROWS);
      recovery.rest();
      unlisted.rest();
      ended.rest();
      usage.rest();
      const woken: Woken = { checks: new Map(), strays: [], expired: [], more: due.length >= BATCH_ROWS };
      for (const id of due) {
        const isHandled = deps.alone(id, () => {
          const progress = deps.load(id);
          if (progress !== null) wakeOne(progress, now, woken);
          return true;
        });
        if (isHandled === null) store.wakeLater(id, now + rules.sweepMs);
        unlisted.listed(id);
      }
      return woken;
    },
  };
}
