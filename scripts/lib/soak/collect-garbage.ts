/**
 * Makes processes collect their garbage, through V8's inspector, so that what they still hold afterwards is what they
 * need. V8 puts a full collection off while memory is plenty, for minutes under a light load; what it has not collected
 * yet looks like a leak.
 *
 * Each isolate has one session for the whole soak, and is asked again only once it has answered: workerd keeps some 10
 * KB of every session whose request is still open, and those of its isolates that do nothing never answer.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isolatesOf } from "../../../test/bench/lib/inspector.ts";

/** As long as an operation may take: a machine that stalls for seconds is no reason to end a soak. */
const PATIENCE_MS = 60_000;
const AGAIN_MS = 250;
/** No isolate is waited for longer once the first has answered. */
const OTHERS_MS = 500;

export type GarbageCollector = {
  /**
   * Collects in all isolates that answer; asks anew where an inspector is away or ends a session. Throws when none of a
   * port has answered in time.
   */
  collect(): Promise<void>;
  close(): void;
};

/** Of the isolates behind the inspectors on these ports of loopback, each of which has `patienceMs` to answer. */
export function createGarbageCollector(
  inspectorPorts: readonly number[],
  patienceMs: number = PATIENCE_MS,
): GarbageCollector {
  const ports = inspectorPorts.map((port) => ({ port, sessions: new Map<string, Session>() }));

  async function collectBehind(one: (typeof ports)[number]): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    for (;;) {
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0)
        throw new Error(`the inspector on port ${one.port} did not collect garbage within ${patienceMs} ms`);
      if (await tryOnce(one, leftMs).catch(() => false)) return;
      await sleep(AGAIN_MS);
    }
  }

  /** Whether an isolate has collected within `limitMs`. Rejects where no inspector answers. */
  async function tryOnce({ port, sessions }: (typeof ports)[number], limitMs: number): Promise<boolean> {
    const urls = await isolatesOf(port);
    for (const [url, session] of sessions) if (!session.isOpen()) sessions.delete(url);
    for (const url of urls) if (!sessions.has(url)) sessions.set(url, createSession(url));
    const answers = [...sessions.values()].flatMap((session) => session.ask() ?? []);
    const over = new AbortController();
    const limit = sleep(limitMs, false, { signal: over.signal }).catch(() => false);
    const first = Promise.any(answers).then(
      () => true,
      () => false,
    );
    const hasCollected = await Promise.race([first, limit]);
    over.abort();
    if (hasCollected) await Promise.race([Promise.allSettled(answers), sleep(OTHERS_MS)]);
    return hasCollected;
  }

  return {
    async collect() {
      await Promise.all(ports.map(collectBehind));
    },
    close() {
      for (const { sessions } of ports) for (const session of sessions.values()) session.close();
    },
  };
}

type Session = {
  isOpen(): boolean;
  /** Resolves with the answer; null while an earlier one is still to come. */
  ask(): Promise<void> | null;
  close(): void;
};

/** https://chromedevtools.github.io/devtools-protocol/tot/HeapProfiler/#method-collectGarbage */
function createSession(url: string): Session {
  const socket = new WebSocket(url);
  let asked: PromiseWithResolvers<void> | null = null;
  const send = () => socket.send(JSON.stringify({ id: 1, method: "HeapProfiler.collectGarbage" }));
  socket.addEventListener("open", () => {
    if (asked !== null) send();
  });
  socket.addEventListener("message", () => {
    asked?.resolve();
    asked = null;
  });
  const fail = () => {
    asked?.reject(new Error(`the inspector at ${url} can't be reached`));
    asked = null;
  };
  socket.addEventListener("error", fail);
  socket.addEventListener("close", fail);
  return {
    isOpen: () => socket.readyState <= WebSocket.OPEN,
    ask() {
      if (asked !== null) return null;
      asked = Promise.withResolvers<void>();
      const { promise } = asked;
      promise.catch(() => {});
      if (socket.readyState === WebSocket.OPEN) send();
      return promise;
    },
    close: () => socket.close(),
  };
}
