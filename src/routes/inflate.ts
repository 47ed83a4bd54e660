/** Decodes `deflate` (zlib's format) a little at a time. */

/** A byte decodes to 1,032 at most. */
const FED_BYTES = 1024;
const PIECE_BYTES = 64 * 1024;

/**
 * What `coded` decodes to. The runtime's own stream decodes all that is written to it at once and keeps what nobody has read, so it is given more only
 * when nothing is left to read.
 */
export function inflate(coded: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const { readable, writable } = new DecompressionStream("deflate");
  const [source, writer, reader] = [coded.getReader(), writable.getWriter(), readable.getReader({ mode: "byob" })];
  let held = new Uint8Array();
  let isFed = false;

  const feed = async (): Promise<void> => {
    if (held.length === 0) {
      const { done, value } = await source.read();
      if (done) {
        isFed = true;
        return writer.close();
      }
      held = new Uint8Array(value);
    }
    const piece = held.subarray(0, FED_BYTES);
    held = held.subarray(FED_BYTES);
    await writer.write(piece);
  };
  const nextTurn = () => new Promise<null>((resolve) => setTimeout(resolve, 0, null));

  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const read = reader.read(new Uint8Array(PIECE_BYTES));
      let got = await Promise.race([read, nextTurn()]);
      while (got === null && !isFed) {
        await feed().catch(async (cause: unknown) => {
          // The reader is told.
          isFed = true;
          await writer.abort(cause).catch(() => {});
        });
        got = await Promise.race([read, nextTurn()]);
      }
      const { done, value } = got ?? (await read);
      if (!done) return controller.enqueue(value);
      controller.close();
      controller.byobRequest?.respond(0);
    },
    async cancel(reason) {
      await Promise.allSettled([reader.cancel(reason), source.cancel(reason)]);
    },
  });
}
