/**
 * Raw records in object storage, as lines of JSON: `usage/<account>/<month>/<number>-<hash>.ndjson`. The number is that
 * of the first row in it, and the hash is of what it says, so that no object is ever overwritten by another: not even
 * where the meter was put back from a backup and gives its rows other company.
 *
 * Which rows are stored together is noted before: whoever dies after an object was stored and before its rows went
 * stores the same object again, under the same key. So no record is in two objects, but for those that a backup brought
 * back: they have their ids.
 */
import { monthName } from "./calendar.ts";
import type { MeterRows, RawRow } from "./meter-rows.ts";

/** Of one object, about. */
const MAX_OBJECT_CHARS = 8 * 1024 * 1024;
/** Objects that one step looks at. */
const PAGE = 500;
const NUMBER_DIGITS = 12;
const HASH_BYTES = 16;

/** Stores the first rows up to number `upTo` that are of one month; whether there were any. */
export async function storeRaw(bucket: R2Bucket, account: string, rows: MeterRows, upTo: number): Promise<boolean> {
  const found = rows.raw(0, MAX_OBJECT_CHARS).filter(({ n }) => n <= upTo);
  const [first] = found;
  if (first === undefined) return false;
  const noted = Number(rows.note("storing") ?? 0);
  const isAgain = noted >= first.n;
  const part = found.filter(({ n, month }) => month === first.month && (!isAgain || n <= noted));
  const last = part.at(-1)?.n ?? first.n;
  if (!isAgain) rows.setNote("storing", last);
  const text = part.map(({ lines }) => lines).join("");
  await bucket.put(await keyOf(account, first, text), text, {
    httpMetadata: { contentType: "application/x-ndjson" },
  });
  rows.removeRaw(last);
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

async function keyOf(account: string, { n, month }: RawRow, text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const hash = Array.from(digest.slice(0, HASH_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${rawPrefix(account)}${month}/${String(n).padStart(NUMBER_DIGITS, "0")}-${hash}.ndjson`;
}
