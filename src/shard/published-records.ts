/** The records that an ended prediction becomes, one per topic that is on. */
import { deadLetterReason, REASON_HEADER } from "../contract/published.ts";
import type { DeadLetterRecord, PublishedTopic, ResultRecord, UsageRecord } from "../contract/published.ts";
import type { Json } from "../contract/prediction.ts";
import type { PublishSettings } from "../log/publish-settings.ts";
import type { LogRecord } from "../log/types.ts";
import { isFinished } from "./row.ts";
import type { Row } from "./row.ts";

/** Larger outputs stay with the prediction: a record of the log takes 1 MiB at most. */
const MAX_OUTPUT_CHARS = 256 * 1024;

export function publishedRecords(row: Row, settings: PublishSettings): LogRecord[] {
  const { state, completedAt } = row;
  const { question } = row.fixed;
  if (!isFinished(state) || completedAt === null) return [];
  const status = state as ResultRecord["status"];
  const metrics = numbersOf(row.metrics);
  const shared = {
    v: 1,
    model: `${row.fixed.model.owner}/${row.fixed.model.name}`,
    version: row.fixed.model.version,
    lane: row.fixed.lane,
    priority: row.fixed.priority,
    attempt: row.attempt,
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    completedAt,
    ...(question === undefined ? {} : { askedBy: question.plugin }),
  } as const;
  const records: LogRecord[] = [];
  const add = (
    topic: PublishedTopic,
    record: { id: string; [field: string]: Json },
    headers: { key: string; value: string }[] = [],
  ) => {
    if (!settings.topics.has(topic)) return;
    const { traceparent } = row.fixed;
    const traced = traceparent === null ? headers : [...headers, { key: "traceparent", value: traceparent }];
    records.push({ topic, key: record.id, value: JSON.stringify(record), headers: traced });
  };

  add("results", {
    ...shared,
    ...{ id: row.id, account: row.accountId, status, errorCode: row.error?.code ?? null },
    ...{ metrics, replayOf: row.fixed.replayOf },
    ...(settings.withOutput && question === undefined && isSmall(row.output) ? { output: row.output } : {}),
  } satisfies ResultRecord);

  if (row.attempt > 0 && settings.usageEvents !== true) {
    add("usage", {
      ...shared,
      ...{ id: `${row.id}.${row.attempt}`, prediction: row.id, account: row.accountId, status },
      predictTimeS: Math.max(0, metrics["predict_time"] ?? 0),
      inputTokens: countOf(metrics["input_token_count"]),
      outputTokens: countOf(metrics["output_token_count"]),
    } satisfies UsageRecord);
  }

  // Whoever waited for the answer has decided without it: nobody wants it any more.
  const reason = question === undefined ? deadLetterReason(row.error?.code ?? null) : null;
  if (reason !== null) {
    const headers = [
      { key: REASON_HEADER, value: reason },
      { key: "attempts", value: String(row.attempt) },
    ];
    add("jobs.dlq", { ...shared, id: row.id, reason } satisfies DeadLetterRecord, headers);
  }
  return records;
}

function isSmall(output: Json): boolean {
  return output !== null && JSON.stringify(output).length <= MAX_OUTPUT_CHARS;
}

function numbersOf(metrics: Record<string, Json>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}

function countOf(tokens: number | undefined): number | null {
  return tokens === undefined || tokens < 0 ? null : tokens;
}
