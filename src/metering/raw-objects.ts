/**
 * Raw records in object storage, as lines of JSON: `usage/<account>/<month>/<number>.ndjson`, where the number is that
 * of the first row in it. Whoever dies after an object was stored and before its rows went stores it again under the
 * same key, with those rows and what came behind them: no record is in two objects.
 */
import { monthName } from "./calendar.ts";
import type { MeterRows, RawRow } from "./meter-rows.ts";

/** Of one object, about. */
const MAX_OBJECT_CHARS = 8 * 1024 * 1024;
/** Objects that one step looks at. */
const PAGE = 500;
const NUMBER_DIGITS = 12;

/** Stores the first rows up to number `upTo` that are of one month; whether there were any. */
export async function storeRaw(bucket: R2Bucket, account: string, rows: MeterRows, upTo: number): Promise<boolean> {
  const found = rows.raw(0, MAX_OBJECT_CHARS).filter(({ n }) => n <= upTo);
  const [first] = found;
  if (first === undefined) return false;
  const end = found.findIndex(({ month }) => month !== first.month);
  const part = end < 0 ? found : found.slice(0, end);
  await bucket.put(keyOf(account, first), part.map(({ lines }) => lines).join(""), {
    httpMetadata: { contentType: "application/x-ndjson" },
  });
  rows.removeRaw(part.at(-1)?.n ?? first.n);
  return true;
}

/** Deletes some objects of months before that of `from`; whether there may be more. */
export async function sweepRaw(bucket: R2Bucket, account: string, from: number): Promise<boolean> {
  const prefix = rawPrefix(account);
  const { objects } = await bucket.list({ prefix, limit: PAGE });
  const least = monthName(from);
  const old = objects.map(({ key }) => key).filter((key) => key.slice(prefix.length, prefix.length + 7) < least);
  if (old.length > 0) await bucket.delete(old);
  return old.length === PAGE;
}

export function rawPrefix(account: string): string {
  return `usage/${account}/`;
}

function keyOf(account: string, { n, month }: RawRow): string {
  return `${rawPrefix(account)}${month}/${String(n).padStart(NUMBER_DIGITS, "0")}.ndjson`;
}
