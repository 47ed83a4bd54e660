/** Hands an account's records to the topic `usage`, in their order, again and again until the log has them. */
import type { Env } from "../env.ts";
import { currentLog } from "../log/current-log.ts";
import { produceHalving } from "../log/halving.ts";
import type { LogRecord } from "../log/types.ts";
import type { ObjectTimers } from "../object-timers.ts";
import { within } from "../shard/within.ts";
import { log } from "../telemetry/log.ts";
import { CLOUD_EVENT_TYPE, usageEvent } from "./cloud-event.ts";
import type { MeterRows } from "./meter-rows.ts";
import type { MeterRecord } from "./record.ts";

/** Of the records in one call. */
const BATCH_CHARS = 256 * 1024;

/** How long the log may take for one call: a meter publishes nothing else meanwhile, and its alarm waits. */
const CALL_LIMIT_MS = 30_000;

/** Publishes the next of what is not published; whether there was any. `after`: the object's timers. */
export async function publishUsage(env: Env, rows: MeterRows, after: ObjectTimers["after"]): Promise<boolean> {
  const batch = rows.raw(Number(rows.note("published") ?? 0) + 1, BATCH_CHARS);
  const last = batch.at(-1);
  if (last === undefined) return false;
  const records = batch.flatMap(({ lines }) => lines.split("\n").filter((line) => line !== ""));
  const { producer } = await within(currentLog(env), CALL_LIMIT_MS, after);
  await produceHalving(
    records.map((line) => logRecordOf(JSON.parse(line) as MeterRecord)),
    async (part) => void (await within(producer.produce([...part]), CALL_LIMIT_MS, after)),
    async ({ key = "" }, reason) => log.warn("usage_record_refused", { id: key, reason }),
  );
  rows.setNote("published", last.n);
  return true;
}

/** The event in its structured mode, as the Kafka binding of CloudEvents has it. */
export function logRecordOf(record: MeterRecord): LogRecord {
  const headers = [{ key: "content-type", value: CLOUD_EVENT_TYPE }];
  return { topic: "usage", key: record.id, value: JSON.stringify(usageEvent(record)), headers };
}
