/** Server-sent events, as text. https://html.spec.whatwg.org/multipage/server-sent-events.html */

export type ServerSentEvent = { event: string; data: string; id: number };

/** Writes one event. Line ends within the data become lines of the event, as the format demands. */
export function formatEvent({ event, data, id }: ServerSentEvent): string {
  return `event: ${event}\nid: ${id}\ndata: ${data.replaceAll(/\r\n|\r|\n/g, "\ndata: ")}\n\n`;
}

/** A line that keeps proxies from closing a silent connection; readers ignore it. */
export const KEEP_ALIVE = ": keep-alive\n\n";
