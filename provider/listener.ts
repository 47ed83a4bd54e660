/**
 * The WebSocket by which the edge says that something has changed. It carries nothing else: whatever is lost with it,
 * the next sync brings.
 */
import type { Logger } from "pino";

const PING_MS = 25_000;
/** A socket on which nothing was heard for so long leads nowhere. */
const SILENT_MS = 60_000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export type ListenerOptions = {
  url: URL;
  token: string;
  provider: string;
  log: Pick<Logger, "info">;
  /** There is something new, or there may be: the socket was lost. */
  onNews(): void;
};

export type Listener = {
  /** Whether news would arrive. */
  readonly isOpen: boolean;
  close(): void;
};

export function listen({ url, token, provider, log, onNews }: ListenerOptions): Listener {
  const address = new URL("provider/v1/listen", url.href.endsWith("/") ? url : `${url.href}/`);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("provider", provider);
  let socket: WebSocket | null = null;
  let isOpen = false;
  let isClosed = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;

  function connect(): void {
    let heardMs = performance.now();
    const current = new WebSocket(address, { headers: { authorization: `Bearer ${token}` } });
    socket = current;
    current.addEventListener("open", () => {
      isOpen = true;
      failures = 0;
      keepAlive();
      // What has changed before is news, too.
      onNews();
    });
    current.addEventListener("message", ({ data }) => {
      heardMs = performance.now();
      if (data === "changed") onNews();
    });
    current.addEventListener("close", lost);
    current.addEventListener("error", lost);

    function keepAlive(): void {
      if (performance.now() - heardMs > SILENT_MS) {
        current.close();
        // A peer that answers no ping may not confirm the close either.
        return lost();
      }
      current.send("ping");
      timer = setTimeout(keepAlive, PING_MS);
    }

    function lost(): void {
      if (socket !== current) return;
      socket = null;
      clearTimeout(timer);
      if (isClosed) return;
      failures += 1;
      if (failures === 1) log.info({}, "the edge can't say when something changes; it is asked more often");
      const wasOpen = isOpen;
      isOpen = false;
      const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
      timer = setTimeout(connect, pauseMs * (0.5 + Math.random() / 2));
      if (wasOpen) onNews();
    }
  }

  connect();
  return {
    get isOpen() {
      return isOpen;
    },
    close() {
      isClosed = true;
      isOpen = false;
      clearTimeout(timer);
      socket?.close();
    },
  };
}
