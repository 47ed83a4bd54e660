/** The records that a row's usage becomes. */
import { modelPath } from "../contract/manifest.ts";
import { endingOf, isBilled } from "../metering/billed.ts";
import type { AttemptRecord, NumberedRecord } from "../metering/record.ts";
import { costOfUsage } from "./cost.ts";
import type { Row } from "./row.ts";
import { isFinished } from "./row.ts";
import { endOf } from "./usage.ts";
import type { UsageEntry } from "./usage.ts";

/** The records of those of its entries that have these numbers, in their order. */
export function usageRecords(row: Row, ns: ReadonlySet<number>): NumberedRecord[] {
  return (row.usage ?? [])
    .flatMap((entry) =>
      entry.n !== undefined && ns.has(entry.n) ? [{ n: entry.n, record: recordOf(row, entry) }] : [],
    )
    .toSorted((a, b) => a.n - b.n);
}

/** Of a correction: by how much it differs from the estimate that it stands in place of. */
function recordOf(row: Row, entry: UsageEntry): AttemptRecord {
  const { fixed } = row;
  const { attempt, outcome, at, device, units = {}, replaces, flags = [] } = entry;
  const less = (name: "queuedMs" | "runMs" | "gpuUs") => entry[name] - (replaces?.[name] ?? 0);
  const isCorrection = replaces !== undefined;
  const billed = isBilledEntry(row, entry);
  const replacedNano =
    replaces === undefined ? 0 : costOfUsage(row, replaces, isBilledEntry(row, { ...replaces, attempt }));
  return {
    v: 2,
    kind: "attempt",
    id: `${row.id}.${attempt}${isCorrection ? ".correction" : ""}`,
    at,
    account: row.accountId,
    deployment: fixed.deployment,
    device,
    gpuUs: less("gpuUs"),
    flags,
    prediction: row.id,
    attempt,
    key: fixed.credentialId ?? null,
    model: modelPath(fixed.model),
    version: fixed.model.version,
    queuedMs: less("queuedMs"),
    runMs: less("runMs"),
    units,
    outcome,
    cached: attempt === 0,
    billed,
    costNano: costOfUsage(row, entry, billed) - replacedNano,
    currency: fixed.pricing?.price.currency ?? null,
    price: fixed.pricing?.price.id ?? null,
    ...(fixed.question === undefined ? {} : { askedBy: fixed.question.plugin }),
  };
}

function isBilledEntry(row: Row, { attempt, outcome }: Pick<UsageEntry, "attempt" | "outcome">): boolean {
  switch (outcome) {
    case "lost":
    case "bisected":
    case "superseded":
      return isBilled(outcome);
    case "stopped":
      return isBilled("released");
    default: {
      const status = isFinished(row.state) ? endOf(row) : outcome;
      if (status === "stopped" || status === "lost" || status === "bisected" || status === "superseded") return false;
      const errorCode = row.error?.code ?? null;
      const isQuestion = row.fixed.question !== undefined;
      return isBilled(endingOf({ status, errorCode, attempt, ran: attempt > 0, isQuestion }));
    }
  }
}
