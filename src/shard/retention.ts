/**
 * What becomes of a prediction's data: it goes on request, and when its retention ends; the memory of a client's key
 * stays a day longer.
 */
import { errorTable } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import { dueAt } from "./machine.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import { platformMetrics } from "./sizes.ts";
import type { Store } from "./store.ts";
import type { Expired, Woken } from "./types.ts";

type Deps = {
  rules: Rules;
  now: () => number;
  store: Store;
  /** The row is no longer to be remembered as it was. */
  forget: (id: string) => void;
  noteWake: (row: Row) => void;
};

export type Retention = ReturnType<typeof createRetention>;

/** The ends of stored rows. */
export function createRetention({ rules, now, store, forget, noteWake }: Deps) {
  function drop(row: Row): void {
    purge(row);
    row.wakeAt = dueAt(row, rules);
    store.purge(row);
    forget(row.id);
    noteWake(row);
  }

  return {
    /** Something is due of an ended row: its strays, at first; then its data, or all that is left of it. */
    fallDue(row: Row, { strays, expired }: Pick<Woken, "strays" | "expired">): void {
      if (row.strays) strays.push({ id: row.id, token: row.token });
      else if (row.retired) this.retire(row.id);
      else expired.push(expiredOf(row));
    },

    /** Retention ended, and there is no trace elsewhere: the row goes, unless a client's key must be remembered. */
    retire(id: string): void {
      const row = store.get(id);
      if (row === null || row.completedAt === null) return;
      if (!row.fixed.keyed || row.retired) {
        store.remove(id);
        forget(id);
        return;
      }
      row.retired = true;
      row.fed = true;
      drop(row);
    },

    /** What the earlier claims of an ended prediction had stored is gone. */
    swept(id: string): void {
      const row = store.get(id);
      if (row === null) return;
      row.strays = false;
      row.wakeAt = dueAt(row, rules);
      store.update(row, true);
      forget(id);
      noteWake(row);
    },

    /** The traces of an ended prediction could not be removed: it stays as it is, and its turn comes again. */
    postpone(id: string): void {
      const row = store.get(id);
      if (row === null) return;
      row.wakeAt = now() + rules.sweepMs;
      store.update(row, true);
      forget(id);
      noteWake(row);
    },

    /** Drops the data of a finished row; answers what has to go elsewhere. */
    removeData(row: Row): Expired {
      const traces = expiredOf(row);
      drop(row);
      store.removeWebhooksOf(row);
      return traces;
    },
  };
}

function expiredOf(row: Row): Expired {
  const { id, accountId, createdAt, fixed } = row;
  return {
    id,
    accountId,
    createdAt,
    webhook: fixed.webhook,
    hasBlobs: hasBlobs(row),
    responseKey: fixed.responseKey ?? null,
  };
}

/** Drops the data of a finished prediction: input, output, logs, what the model said. The record of it stays. */
function purge(row: Row): void {
  row.blobs = hasBlobs(row);
  row.input = null;
  row.inputBlob = null;
  row.output = null;
  row.outputBlob = null;
  row.logs = "";
  row.metrics = platformMetrics(row.metrics);
  if (row.error !== null) row.error = { code: row.error.code, message: titleOf(row.error.code) };
}

/** Whether its data is gone. */
export function isPurged(row: Row): boolean {
  return row.input === null && row.inputBlob === null;
}

/** Whether anything of it may lie in object storage. Links to output files stand in the output itself. */
function hasBlobs(row: Row): boolean {
  const named = row.inputBlob !== null || row.outputBlob !== null;
  return row.blobs || named || JSON.stringify(row.output).includes("/v1/outputs/");
}

/** A message of a model's may quote its input; the code's title doesn't. */
function titleOf(code: string): string {
  return code in errorTable ? errorTable[code as ErrorCode].title : code;
}
