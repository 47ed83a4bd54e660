/**
 * Bodies on their way into the bucket, without being held: a mebibyte at a time, hashed as it passes. Read as it comes,
 * a body arrives in pieces of 4 KiB and costs five times the CPU.
 */
const PIECE_BYTES = 1024 * 1024;

type Sink = Pick<WritableStreamDefaultWriter<Uint8Array>, "write" | "close" | "abort">;

/** The pieces of a body. A piece is valid until the next one is asked for: its memory is used again. */
export async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader({ mode: "byob" });
  let memory = new Uint8Array(PIECE_BYTES);
  try {
    for (;;) {
      const { value, done } = await reader.readAtLeast(PIECE_BYTES, memory);
      if (value !== undefined && value.byteLength > 0) yield value;
      if (done || value === undefined) return;
      memory = new Uint8Array(value.buffer);
    }
  } finally {
    reader.releaseLock();
  }
}

/**
 * Hands `body`, of exactly `sizeBytes`, to `store` as a stream of known length, and answers what that answers, with the
 * content's SHA-256 in hex. Rejects when the body is shorter or longer, or breaks; `store` sees that too.
 */
export async function transfer<T>(
  body: ReadableStream<Uint8Array> | null,
  sizeBytes: number,
  store: (content: ReadableStream<Uint8Array>) => Promise<T>,
): Promise<{ stored: T; sha256: string }> {
  const digest = new crypto.DigestStream("SHA-256");
  const pipe = new FixedLengthStream(sizeBytes);
  const sinks: Sink[] = [pipe.writable.getWriter(), digest.getWriter()];
  const [stored] = await Promise.all([store(pipe.readable), pour(body, sinks)]);
  return { stored, sha256: toHex(await digest.digest) };
}

export function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function pour(body: ReadableStream<Uint8Array> | null, sinks: readonly Sink[]): Promise<void> {
  try {
    if (body !== null) {
      for await (const piece of piecesOf(body)) await Promise.all(sinks.map((sink) => sink.write(piece)));
    }
    await Promise.all(sinks.map((sink) => sink.close()));
  } catch (thrown) {
    await Promise.allSettled(sinks.map((sink) => sink.abort(thrown)));
    throw thrown;
  }
}
