/** Takes records into an account's meter: each once, and none into a month that is closed. */
import { isClosed, monthName, monthStart } from "./calendar.ts";
import { openDeviceTime } from "./device-time.ts";
import type { DeviceRate } from "./device-time.ts";
import type { MeterRows } from "./meter-rows.ts";
import type { MeterRecord, NumberedRecord } from "./record.ts";

/**
 * Records of one sequence, in the order of their numbers. `source`: a shard's name, or a pool session's. `rate`: what
 * bounds the intervals of a pool.
 */
export type Batch = { source: string; records: readonly NumberedRecord[]; rate?: DeviceRate };

/** A clock that is ahead by more doesn't decide when a record counts. */
const MAX_AHEAD_MS = 60_000;

/** Stores what is new in these batches, and what follows from it; to be called as a whole or not at all. */
export function takeBatches(rows: MeterRows, batches: readonly Batch[], now: number): MeterRecord[] {
  const highest = rows.highest([...new Set(batches.map(({ source }) => source))]);
  const before = new Map(highest);
  const fresh: MeterRecord[] = [];
  const firstOpenMonth = firstOpen(rows, now);
  const deviceTime = openDeviceTime(rows, now);
  for (const { source, records, rate } of batches) {
    for (const { n, record } of records) {
      if (n <= (highest.get(source) ?? -1)) continue;
      highest.set(source, n);
      const isBounded = rate !== undefined && record.kind === "instance.interval";
      fresh.push(counted(isBounded ? deviceTime.cap(record, rate) : record, now, firstOpenMonth));
    }
  }
  if (fresh.length === 0) return [];
  const changed = new Map([...highest].filter(([source, n]) => n !== before.get(source)));
  rows.setHighest(changed, now);
  deviceTime.keep();
  rows.addAll(fresh);
  for (const [month, records] of Map.groupBy(fresh, ({ at }) => monthName(at)))
    rows.addRaw(
      month,
      records.map((record) => JSON.stringify(record)),
      now,
    );
  return fresh;
}

/** The first month that isn't closed. One that was closed stays so, however the clock is put back. */
function firstOpen(rows: MeterRows, now: number): string {
  const before = monthStart(now, -1);
  const first = monthName(isClosed(before, now) ? now : before);
  const known = rows.note("first_open") ?? "";
  if (first <= known) return known;
  rows.setNote("first_open", first);
  return first;
}

/** The record with the time at which it counts. */
function counted(record: MeterRecord, now: number, firstOpenMonth: string): MeterRecord {
  if (record.at > now + MAX_AHEAD_MS) return { ...record, at: now };
  if (monthName(record.at) >= firstOpenMonth) return record;
  return { ...record, at: now, endedAt: record.at, flags: [...record.flags, "late"] };
}
