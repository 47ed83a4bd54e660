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

const ANSWER_MS = 5000;
/** No isolate is waited for longer once the first has answered. */
const OTHERS_MS = 500;

export type GarbageCollector = {
  /** Collects in all isolates that answer. Throws when none of a port does in time. */
  collect(): Promise<void>;
  close(): void;
};

/** Of the isolates behind the inspectors on these ports of loopback. */
export function createGarbageCollector(inspectorPorts: readonly number[]): GarbageCollector {
  const ports = inspectorPorts.map((port) => ({ port, sessions: new Map<string, Session>() }));

  async function collectBehind({ port, sessions }: (typeof ports)[number]): Promise<void> {
    for (const url of await isolatesOf(port)) {
      if (sessions.get(url)?.isOpen() !== true) sessions.set(url, createSession(url));
    }
    const answers = [...sessions.values()].flatMap((session) => session.ask() ?? []);
    const first = Promise.any(answers).then(
      () => true,
      () => false,
    );
    if (!(await Promise.race([first, sleep(ANSWER_MS, false)])))
      throw new Error(`the inspector on port ${port} did not collect garbage within ${ANSWER_MS} ms`);
    await Promise.race([Promise.allSettled(answers), sleep(OTHERS_MS)]);
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
