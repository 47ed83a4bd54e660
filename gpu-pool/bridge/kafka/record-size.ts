/** What a record takes in Kafka's format: kafka.apache.org/documentation/#messageformat, version 2, uncompressed. */
const BATCH_HEADER_BYTES = 61;
/** Attributes, and the record's time and offset within its batch: nothing for the first one. */
const FIXED_BYTES = 3;

export type SizedRecord = { key?: Buffer; value: Buffer; headers?: ReadonlyMap<Buffer, Buffer> };

/** The size of a batch that holds this record alone: what the cluster compares with `max.message.bytes`. */
export function aloneBytes({ key, value, headers }: SizedRecord): number {
  let bytes = FIXED_BYTES + field(key?.length) + field(value.length) + varintBytes(headers?.size ?? 0);
  for (const [name, content] of headers ?? []) bytes += field(name.length) + field(content.length);
  return BATCH_HEADER_BYTES + varintBytes(bytes) + bytes;
}

/** A length and what is so long; one that is null has the length -1. */
function field(length: number | undefined): number {
  return length === undefined ? 1 : varintBytes(length) + length;
}

/** Zigzag: one bit is for the sign. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}
