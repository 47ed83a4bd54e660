/** Server-sent events, as text. https://html.spec.whatwg.org/multipage/server-sent-events.html */

export type ServerSentEvent = { event: string; data: string; id: number };
/** An event whose data is too large for memory: its pieces hold no line end but those of `asEventLines`. */
export type LargeEvent = { event: string; pieces: AsyncIterable<string | Uint8Array>; id: number };
export type AnyEvent = ServerSentEvent | LargeEvent;

/** Writes one event. Line ends within the data become lines of the event, as the format demands. */
export function formatEvent({ event, data, id }: ServerSentEvent): string {
  return `event: ${event}\nid: ${id}\ndata: ${asEventLines(data)}\n\n`;
}

/** The same in pieces. */
export async function* formatLargeEvent({ event, pieces, id }: LargeEvent): AsyncGenerator<string | Uint8Array> {
  yield `event: ${event}\nid: ${id}\ndata: `;
  yield* pieces;
  yield "\n\n";
}

/** Data as the lines of an event. */
export function asEventLines(data: string): string {
  return data.replaceAll(/\r\n|\r|\n/g, "\ndata: ");
}

/** A line that keeps proxies from closing a silent connection; readers ignore it. */
export const KEEP_ALIVE = ": keep-alive\n\n";
