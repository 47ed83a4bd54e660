/**
 * The stored form of a record batch: one row holds what one produce appended to one partition. JSON text, one array
 * a record: `[timestamp, value, key, headerKey, headerValue, …]`; `0` stands for an offset whose record was lost.
 */
import type { AppendRecord, LogMessage, RecordHeader } from "./protocol.ts";

/** Encoded size of a row at most (SQLite in an object takes 2 MB), and of one record. */
export const MAX_BATCH_BYTES = 1_500_000;
export const MAX_RECORD_BYTES = 1_048_576;

export type StoredRecord = { timestamp: number; value: string; key: string | null; headers: RecordHeader[] };
export type EncodedBatch = { count: number; maxTimestamp: number; bytes: number; text: string };

const LOST = "0";
const utf8 = new TextEncoder();

/** The encoded size of a record, in bytes. */
export function recordBytes(record: AppendRecord): number {
  return utf8.encode(encodeRecord(record, 0)).byteLength;
}

/** The characters that a record brings into an answer: keys and headers may be as large as values. */
export function answerLength({ key, value, headers }: Pick<LogMessage, "value" | "headers"> & { key: string | null }) {
  let length = value.length + (key?.length ?? 0);
  for (const header of headers) length += header.key.length + header.value.length;
  return length;
}

/** Packs records into as few rows as their sizes allow. `lost` says which offsets are stored without their record. */
export function encodeBatches(records: readonly AppendRecord[], now: number, lost: () => boolean): EncodedBatch[] {
  const batches: EncodedBatch[] = [];
  let parts: string[] = [];
  let bytes = 2;
  let maxTimestamp = 0;
  const close = (): void => {
    if (parts.length > 0) batches.push({ count: parts.length, maxTimestamp, bytes, text: `[${parts.join(",")}]` });
    parts = [];
    bytes = 2;
    maxTimestamp = 0;
  };
  for (const record of records) {
    const timestamp = record.timestamp ?? now;
    const part = lost() ? LOST : encodeRecord(record, timestamp);
    const size = utf8.encode(part).byteLength + 1;
    if (bytes + size > MAX_BATCH_BYTES) close();
    parts.push(part);
    bytes += size;
    maxTimestamp = Math.max(maxTimestamp, timestamp);
  }
  close();
  return batches;
}

/** The records of a row by their place in it; null where one was lost. */
export function decodeBatch(text: string): (StoredRecord | null)[] {
  const rows: unknown = JSON.parse(text);
  return Array.isArray(rows) ? rows.map(decodeRecord) : [];
}

export function toMessage(topic: string, partition: number, offset: number, record: StoredRecord): LogMessage {
  return {
    topic,
    partition,
    offset,
    timestamp: record.timestamp,
    key: record.key ?? "",
    value: record.value,
    headers: record.headers,
  };
}

function encodeRecord(record: AppendRecord, timestamp: number): string {
  const headers = record.headers.flatMap((header) => [header.key, header.value]);
  return JSON.stringify([timestamp, record.value, record.key, ...headers]);
}

function decodeRecord(row: unknown): StoredRecord | null {
  if (!Array.isArray(row)) return null;
  const fields: unknown[] = row;
  const [timestamp, value, key, ...rest] = fields;
  if (typeof timestamp !== "number" || typeof value !== "string") return null;
  const headers: RecordHeader[] = [];
  for (let index = 0; index + 1 < rest.length; index += 2) {
    headers.push({ key: String(rest[index]), value: String(rest[index + 1]) });
  }
  return { timestamp, value, key: typeof key === "string" ? key : null, headers };
}
