/** Decodes `deflate` (zlib's format) a little at a time. */

/** A byte decodes to 1,032 at most: these to 17 MB. */
const FED_BYTES = 16 * 1024;
const PIECE_BYTES = 64 * 1024;

/**
 * What `coded` decodes to. The runtime's own stream decodes all that is written to it at once and keeps what nobody has
 * read, so it is given more only when nothing is left to read.
 */
export function inflate(coded: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const { readable, writable } = new DecompressionStream("deflate");
  const [writer, reader] = [writable.getWriter(), readable.getReader({ mode: "byob" })];
  const source = inPieces(coded);
  let isFed = false;

  const feed = async (): Promise<void> => {
    try {
      const { done, value } = await source.next();
      isFed = done === true;
      await (done === true ? writer.close() : writer.write(value));
    } catch (cause) {
      // The reader is told.
      isFed = true;
      await writer.abort(cause).catch(() => {});
    }
  };
  const nextTurn = () => new Promise<null>((resolve) => setTimeout(resolve, 0, null));

  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const read = reader.read(new Uint8Array(PIECE_BYTES));
      let got = await Promise.race([read, nextTurn()]);
      while (got === null && !isFed) {
        await feed();
        got = await Promise.race([read, nextTurn()]);
      }
      const { done, value } = got ?? (await read);
      if (!done) return controller.enqueue(value);
      controller.close();
      controller.byobRequest?.respond(0);
    },
    async cancel(reason) {
      await Promise.allSettled([reader.cancel(reason), source.return(undefined)]);
    },
  });
}

/** The content of `stream` in pieces of `FED_BYTES`, but for the last. */
async function* inPieces(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
  let piece = new Uint8Array(FED_BYTES);
  let filled = 0;
  for await (const some of stream) {
    for (let taken = 0; taken < some.length;) {
      const bytes = some.subarray(taken, taken + FED_BYTES - filled);
      piece.set(bytes, filled);
      filled += bytes.length;
      taken += bytes.length;
      if (filled < FED_BYTES) continue;
      yield piece;
      piece = new Uint8Array(FED_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
