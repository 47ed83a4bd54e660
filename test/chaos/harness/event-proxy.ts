/**
 * A proxy between a pool and the edge. It mistreats messages of the control channel as `treat` says, and with `events`
 * also each `POST /pool/v1/events`: those it sends twice, or late and out of order (the pool sees a broken connection,
 * tries again, and the held request arrives after its successors), or it loses the answer. With `blobBytesPerSecond`
 * large outputs go up that slowly, one after the other.
 */
import { Agent, createServer, request as send } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createChannels } from "./channel-proxy.ts";
import type { Treat } from "./channel-proxy.ts";

const EVENTS_PATH = "/pool/v1/events";
const BLOBS_PATH = "/pool/v1/blobs/";
const LONGEST_HOLD_MS = 800;
/** Of all event requests: sent twice, held back, answer lost. The rest passes. */
const shares = { twice: 0.3, held: 0.1, unanswered: 0.1 };

export type EventProxy = {
  url: string;
  /** How many messages and event requests were mistreated. */
  readonly mistreated: number;
  /** How many messages of grants went into channels that lead nowhere. */
  readonly swallowedGrants: number;
  /**
   * Once grants are on their way, nothing arrives any more of channels that are open then, on either side; their
   * connections stand. Resolves when it is so.
   */
  goDeafWithGrants(): Promise<void>;
  stop(): Promise<void>;
};

export async function startEventProxy(
  edgePort: number,
  {
    events = false,
    treat = () => "pass",
    blobBytesPerSecond = Infinity,
  }: { events?: boolean; treat?: Treat; blobBytesPerSecond?: number },
): Promise<EventProxy> {
  const agent = new Agent({ keepAlive: true });
  const target = { host: "127.0.0.1", port: edgePort };
  const timers = new Set<NodeJS.Timeout>();
  const channels = createChannels(edgePort, treat);
  let mistreated = 0;

  /** Sends a request on; its answer goes to `response`, or nowhere. */
  function pass(incoming: IncomingMessage, body: Buffer, response: ServerResponse | null): void {
    const { method, url, headers } = incoming;
    const outgoing = send({ ...target, agent, method, path: url, headers }, (answer) => {
      if (response === null) {
        answer.resume();
        return;
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on("error", () => response?.destroy());
    response?.once("close", () => {
      if (!response.writableFinished) outgoing.destroy();
    });
    outgoing.end(body);
  }

  function later(run: () => void, delayMs = Math.random() * LONGEST_HOLD_MS): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      run();
    }, delayMs);
    timers.add(timer);
  }

  /** When the uplink has sent what it was given. */
  let uplinkFreeAtMs = 0;
  function goUp(incoming: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const nowMs = performance.now();
    uplinkFreeAtMs = Math.max(nowMs, uplinkFreeAtMs) + (1000 * body.length) / blobBytesPerSecond;
    later(() => pass(incoming, body, response), uplinkFreeAtMs - nowMs);
  }

  function mistreat(incoming: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const draw = Math.random();
    mistreated += 1;
    if (draw < shares.twice) {
      pass(incoming, body, response);
      later(() => pass(incoming, body, null));
    } else if (draw < shares.twice + shares.held) {
      response.destroy();
      later(() => pass(incoming, body, null));
    } else if (draw < shares.twice + shares.held + shares.unanswered) {
      pass(incoming, body, null);
      response.destroy();
    } else {
      mistreated -= 1;
      pass(incoming, body, response);
    }
  }

  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks);
      if (incoming.method === "PUT" && incoming.url?.startsWith(BLOBS_PATH) === true) goUp(incoming, body, response);
      else if (events && incoming.url === EVENTS_PATH) mistreat(incoming, body, response);
      else pass(incoming, body, response);
    });
  });
  server.on("upgrade", channels.open);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    get mistreated() {
      return mistreated + channels.mistreated;
    },
    get swallowedGrants() {
      return channels.swallowedGrants;
    },
    goDeafWithGrants: channels.goDeafWithGrants,
    stop: () =>
      new Promise((resolve) => {
        for (const timer of timers) clearTimeout(timer);
        agent.destroy();
        channels.stop();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
