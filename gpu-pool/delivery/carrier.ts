/** How a request with events reaches the edge, and its verdicts come back. Delivery has one on its way at a time. */
import type { EdgeMessage, PoolMessage } from "../../src/contract/channel.ts";
import { EventsReplySchema } from "../../src/contract/event.ts";
import type { EventsReply } from "../../src/contract/event.ts";
import type { HttpClient } from "../transport/http-client.ts";

const SEND_TIMEOUT_MS = 15_000;

export type Welcome = Extract<EdgeMessage, { type: "welcome" }>;
type Hello = Extract<PoolMessage, { type: "hello" }>;

export type EventCarrier = {
  /**
   * Carries an `EventsRequest` as JSON; without events it is the lease's heartbeat. Throws `StatusError` where the edge
   * refused it, and `TransportError` where nothing is known of it: then the same events go again.
   */
  carry(body: string, events: number): Promise<EventsReply>;
  /** What the pool's hello says of it. */
  readonly hello: Pick<Hello, "kv">;
  /** Why this edge and this pool don't fit, from its welcome; `final` where only other settings help. */
  misfit(welcome: Welcome): { problem: string; final: boolean } | null;
  /** The edge told through the channel what became of a request. */
  settled(message: Extract<EdgeMessage, { type: "settled" }>): void;
  channelOpened(): void;
  channelDown(): void;
};

/** `POST /pool/v1/events`. */
export function createHttpCarrier(http: HttpClient): EventCarrier {
  return {
    async carry(body) {
      const reply = await http.json({
        method: "POST",
        path: "/pool/v1/events",
        headers: { "content-type": "application/json" },
        body,
        timeoutMs: SEND_TIMEOUT_MS,
      });
      return EventsReplySchema.parse(reply);
    },
    hello: {},
    misfit({ eventsOpen }) {
      if (eventsOpen) return null;
      const problem =
        "the edge takes events through its Redis only (DELIVERY=kv there): start this pool with --delivery kv";
      return { problem, final: true };
    },
    settled() {},
    channelOpened() {},
    channelDown() {},
  };
}
