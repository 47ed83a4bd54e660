/**
 * Subscriptions as server-sent events, over one connection shared by all: `data: subscribe,<channel>,1`, then
 * `data: message,<channel>,<payload>`, the form that `@upstash/redis` 1.39 reads.
 */
import type { ServerResponse } from "node:http";
import { Redis } from "ioredis";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { RedisSettings, RedisToken } from "../settings.ts";
import { mayHaveMore } from "../shares.ts";
import { redisOptions } from "./connection.ts";

const KEEPALIVE_MS = 15_000;
const MAX_UNREAD_BYTES = 1_048_576;

type Kind = "subscribe" | "psubscribe";
/** One channel or pattern: who listens, and when Redis has taken the subscription. */
type Subscription = { listeners: Set<ServerResponse>; taken: Promise<unknown> };

export class Streams {
  readonly #settings: RedisSettings;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #keepAlive: NodeJS.Timeout;
  /** By whose token the responses are held. */
  readonly #holders = new Map<ServerResponse, RedisToken | null>();
  #redis: Redis | null = null;

  constructor(settings: RedisSettings) {
    this.#settings = settings;
    this.#keepAlive = setInterval(() => this.#each((response) => send(response, ": \n\n")), KEEPALIVE_MS).unref();
  }

  get size(): number {
    return [...this.#subscriptions.values()].reduce((sum, { listeners }) => sum + listeners.size, 0);
  }

  /**
   * Subscribes for the holder of `token` and keeps the response open. Throws `rate_limited` where there are too many,
   * or too many of this one; `unavailable` when Redis can't be reached.
   */
  async open(kind: Kind, channel: string, response: ServerResponse, token: RedisToken | null = null): Promise<void> {
    const { maxSubscriptions, tokens } = this.#settings;
    const own = [...this.#holders.values()].filter((holder) => holder === token).length;
    if (!mayHaveMore(own, this.size, maxSubscriptions, tokens.length < 2)) {
      const whose = this.size < maxSubscriptions ? `This token has ${own} of` : "The bridge holds";
      throw new EdgeplaneError(
        "rate_limited",
        `${whose} ${maxSubscriptions} subscriptions already (redis.maxSubscriptions).`,
      );
    }
    this.#holders.set(response, token);
    const key = `${kind} ${channel}`;
    const subscription = this.#subscriptions.get(key) ?? this.#subscribe(key, kind, channel);
    subscription.listeners.add(response);
    // A client may leave while Redis takes its time.
    response.once("close", () => this.#leave(key, subscription, response));
    try {
      await subscription.taken;
    } catch (error) {
      this.#leave(key, subscription, response);
      const message = error instanceof Error ? error.message : String(error);
      throw new EdgeplaneError("unavailable", `Redis can't be reached (redis.url): ${message}`, { cause: error });
    }
    if (response.destroyed) return;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    });
    response.write(`data: ${kind},${channel},1\n\n`);
  }

  endAll(): void {
    this.#each((response) => response.end());
  }

  close(): void {
    clearInterval(this.#keepAlive);
    this.endAll();
    this.#redis?.disconnect();
  }

  #subscribe(key: string, kind: Kind, channel: string): Subscription {
    const subscription: Subscription = { listeners: new Set(), taken: this.#connection()[kind](channel) };
    this.#subscriptions.set(key, subscription);
    return subscription;
  }

  #connection(): Redis {
    if (this.#redis !== null) return this.#redis;
    const redis = new Redis(this.#settings.url, {
      ...redisOptions(this.#settings),
      ...{ enableOfflineQueue: true, maxRetriesPerRequest: 2, autoResubscribe: true },
    });
    redis.on("error", () => {});
    redis.on("message", (channel: string, payload: string) =>
      this.#tell(`subscribe ${channel}`, `message,${channel},${payload}`),
    );
    redis.on("pmessage", (pattern: string, channel: string, payload: string) =>
      this.#tell(`psubscribe ${pattern}`, `pmessage,${pattern},${channel},${payload}`),
    );
    this.#redis = redis;
    return redis;
  }

  #tell(key: string, text: string): void {
    const event = `data: ${text.replaceAll(/\r\n|\r|\n/g, "\ndata: ")}\n\n`;
    for (const response of this.#subscriptions.get(key)?.listeners ?? []) {
      if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
      else send(response, event);
    }
  }

  #leave(key: string, subscription: Subscription, response: ServerResponse): void {
    const { listeners } = subscription;
    this.#holders.delete(response);
    if (!listeners.delete(response) || listeners.size > 0) return;
    this.#subscriptions.delete(key);
    const [kind, channel] = [key.slice(0, key.indexOf(" ")), key.slice(key.indexOf(" ") + 1)];
    const left = kind === "subscribe" ? this.#redis?.unsubscribe(channel) : this.#redis?.punsubscribe(channel);
    left?.catch(() => {});
  }

  #each(act: (response: ServerResponse) => void): void {
    for (const { listeners } of this.#subscriptions.values()) for (const response of listeners) act(response);
  }
}

/** One that was ended may still be on its way to a slow reader: writing to it would be an error. */
function send(response: ServerResponse, text: string): void {
  if (!response.writableEnded) response.write(text);
}
