/** Reads a stream of newline-delimited JSON. */

/**
 * Yields the lines that are not empty, those that came together together. The stream is canceled when the reader stops
 * early, and when `left` settles, even while a line is waited for.
 */
export async function* readLines(stream: ReadableStream<Uint8Array>, left: Promise<void>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const cancel = () => reader.cancel().catch(() => {});
  void left.then(cancel);
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      const whole = lines.filter((line) => line !== "");
      if (whole.length > 0) yield whole;
    }
    if (rest !== "") yield [rest];
  } finally {
    await cancel();
  }
}
