/**
 * Prediction ids. An id is 26 characters of lower-case Crockford base32: the first two are the number of the shard that
 * owns the prediction (10 bits). In a minted one its time follows (45 bits, as in a ULID), so that new rows lie side by
 * side on disk, and 75 random bits; one that is derived from the client's own key has 120 bits of its HMAC there.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const BODY_BYTES = 15;
/** 45 bits of milliseconds: enough for a thousand years. */
const TIME_CHARS = 9;
const ID_PATTERN = /^[0-9abcdefghjkmnpqrstvwxyz]{26}$/;

/** Mints an id on a random shard of `shardCount` (1 to 1,024). `now` is its time, in milliseconds since the epoch. */
export function newPredictionId(shardCount: number, now = Date.now()): string {
  const random = encodeId(crypto.getRandomValues(new Uint8Array(BODY_BYTES + 2)), shardCount);
  return random.slice(0, 2) + encodeTime(now) + random.slice(2 + TIME_CHARS);
}

/**
 * The id that an account's own key (an `Idempotency-Key`, or the id of a `PUT`) stands for: HMAC-SHA-256 over
 * account and key, so that the same key always finds the same shard and row, and nobody can aim at another's.
 */
export async function derivedPredictionId(
  secret: CryptoKey,
  accountId: string,
  key: string,
  shardCount: number,
): Promise<string> {
  const message = new TextEncoder().encode(`${accountId}\n${key}`);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", secret, message));
  return encodeId(mac.subarray(0, BODY_BYTES + 2), shardCount);
}

/** Whether `id` has the form of a prediction id of a deployment with `shardCount` shards. */
export function isPredictionId(id: string, shardCount: number): boolean {
  return ID_PATTERN.test(id) && shardOf(id) < shardCount;
}

/** The number of the shard that owns `id`, which must have the form of a prediction id. */
export function shardOf(id: string): number {
  return ALPHABET.indexOf(id.charAt(0)) * 32 + ALPHABET.indexOf(id.charAt(1));
}

/** When a minted id was made, in milliseconds since the epoch. Of a derived one it means nothing. */
export function mintedAt(id: string): number {
  let time = 0;
  for (const character of id.slice(2, 2 + TIME_CHARS)) time = time * 32 + ALPHABET.indexOf(character);
  return time;
}

/** What sorts before every minted id of the shard of `id` that was made at `at` or later, and behind those before. */
export function leastIdOf(id: string, at: number): string {
  return id.slice(0, 2) + encodeTime(at);
}

/** The name of the Durable Object of shard `number`. */
export function shardName(number: number): string {
  return `shard-${number}`;
}

/** A fencing token: 128 random bits in hexadecimal. */
export function newToken(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

function encodeId(bytes: Uint8Array, shardCount: number): string {
  const shard = (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) % shardCount;
  return base32(shard >> 5) + base32(shard & 31) + encodeBody(bytes.subarray(2));
}

function encodeTime(now: number): string {
  let text = "";
  for (let left = now, chars = 0; chars < TIME_CHARS; chars += 1, left = Math.floor(left / 32))
    text = base32(left % 32) + text;
  return text;
}

function encodeBody(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < BODY_BYTES; start += 5) {
    const high = ((bytes[start] ?? 0) << 12) | ((bytes[start + 1] ?? 0) << 4) | ((bytes[start + 2] ?? 0) >> 4);
    const low = (((bytes[start + 2] ?? 0) & 15) << 16) | ((bytes[start + 3] ?? 0) << 8) | (bytes[start + 4] ?? 0);
    for (const word of [high, low]) {
      text += base32((word >> 15) & 31) + base32((word >> 10) & 31) + base32((word >> 5) & 31) + base32(word & 31);
    }
  }
  return text;
}

function base32(value: number): string {
  return ALPHABET.charAt(value);
}
