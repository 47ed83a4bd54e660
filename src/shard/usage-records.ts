/** The records that a row's usage becomes. */
import { modelPath } from "../contract/manifest.ts";
import type { AttemptRecord, NumberedRecord } from "../metering/record.ts";
import { costOfAttempt, isBilledAttempt } from "./cost.ts";
import type { Row } from "./row.ts";
import type { UsageEntry } from "./usage.ts";

/** The records of those of its entries that have these numbers, in their order. */
export function usageRecords(row: Row, ns: ReadonlySet<number>): NumberedRecord[] {
  return (row.usage ?? [])
    .flatMap((entry) =>
      entry.n !== undefined && ns.has(entry.n) ? [{ n: entry.n, record: recordOf(row, entry) }] : [],
    )
    .toSorted((a, b) => a.n - b.n);
}

/**
 * Of a correction: by how much it differs from the estimate that it stands in place of. It counts on the device that
 * the estimate named, whichever its pool tells: on another one it would take back what was never counted there.
 */
function recordOf(row: Row, entry: UsageEntry): AttemptRecord {
  const { fixed } = row;
  const { attempt, outcome, at, device, units = {}, replaces, flags = [] } = entry;
  const less = (name: "queuedMs" | "runMs" | "gpuUs") => entry[name] - (replaces?.[name] ?? 0);
  const isCorrection = replaces !== undefined;
  const replacedNano = replaces === undefined ? 0 : costOfAttempt(row, { ...replaces, attempt });
  const billed = isBilledAttempt(row, entry);
  const wasBilled = replaces === undefined ? billed : isBilledAttempt(row, { ...replaces, attempt });
  return {
    v: 2,
    kind: "attempt",
    id: `${row.id}.${attempt}${isCorrection ? ".correction" : ""}`,
    at,
    account: row.accountId,
    deployment: fixed.deployment,
    device: replaces?.device ?? device,
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
    ...(wasBilled === billed ? {} : { wasBilled }),
    costNano: costOfAttempt(row, entry) - replacedNano,
    currency: fixed.pricing?.price.currency ?? null,
    price: fixed.pricing?.price.id ?? null,
    ...(fixed.question === undefined ? {} : { askedBy: fixed.question.plugin }),
  };
}
