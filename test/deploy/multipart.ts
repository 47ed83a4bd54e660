/** The parts of a multipart body, whole in memory. */
export type Part = { name: string; filename: string | null; content: Buffer };

export function partsOf(body: Buffer, type: string): Part[] {
  const boundary = /boundary="?([^";]+)/.exec(type)?.[1];
  if (boundary === undefined) throw new Error(`no multipart body: ${type}`);
  const mark = Buffer.from(`--${boundary}`);
  const parts: Part[] = [];
  let at = body.indexOf(mark);
  for (;;) {
    const next = body.indexOf(mark, at + mark.length);
    if (at < 0 || next < 0) return parts;
    const head = body.indexOf("\r\n\r\n", at);
    const disposition = body.toString("utf8", at, head);
    parts.push({
      name: /[; ]name="([^"]*)"/.exec(disposition)?.[1] ?? "",
      filename: /filename="([^"]*)"/.exec(disposition)?.[1] ?? null,
      content: body.subarray(head + 4, next - 2),
    });
    at = next;
  }
}
