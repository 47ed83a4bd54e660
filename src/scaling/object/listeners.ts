/**
 * Sockets of provider services that wait for news: they hibernate, so that waiting keeps nothing awake. A service is
 * told `changed`, and asks by a sync what it is; whatever is lost with a socket it learns by its next sync.
 */
import { log } from "../../telemetry/log.ts";

const MAX_SOCKETS = 200;
/** Of one provider: a service has one, and those that it lost may stand until they are closed here. */
const MAX_OF_PROVIDER = 10;
const REPLACED = 4409;
/** A service that doesn't ask is told again after so long. */
const TELL_AGAIN_MS = 10_000;
const CHANGED = "changed";

export class Listeners {
  readonly #ctx: DurableObjectState;
  /** By provider: what it was told of last, and when it was told without a reason of its own. */
  readonly #told = new Map<string, string>();
  readonly #askedAtMs = new Map<string, number>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  /** Null: there are too many. */
  accept(provider: string): WebSocket | null {
    const own = openOf(this.#ctx.getWebSockets(provider));
    if (own.length >= MAX_OF_PROVIDER) for (const socket of own) socket.close(REPLACED, "another one took its place");
    if (openOf(this.#ctx.getWebSockets()).length >= MAX_SOCKETS) return null;
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server, [provider]);
    return client;
  }

  isThere(provider: string): boolean {
    return this.#ctx.getWebSockets(provider).length > 0;
  }

  /** Providers whose services listen. */
  providers(): string[] {
    return [...new Set(this.#ctx.getWebSockets().flatMap((socket) => this.#ctx.getTags(socket)))];
  }

  /** What a provider is to have now: whoever was told otherwise hears of it. */
  note(provider: string, wanted: string): void {
    const before = this.#told.get(provider);
    this.#told.set(provider, wanted);
    if (before !== undefined && before !== wanted) this.#send(provider);
  }

  /** Asks services that weren't heard in this life of the object what they offer. */
  ask(isHere: (provider: string) => boolean, nowMs: number): void {
    for (const provider of this.providers()) {
      const askedMs = Math.abs(nowMs - (this.#askedAtMs.get(provider) ?? -Infinity));
      if (isHere(provider) || askedMs < TELL_AGAIN_MS) continue;
      this.#askedAtMs.set(provider, nowMs);
      this.#send(provider);
    }
  }

  #send(provider: string): void {
    for (const socket of this.#ctx.getWebSockets(provider)) {
      try {
        socket.send(CHANGED);
      } catch (error) {
        log.warn("provider_not_told", { provider, reason: String(error) });
      }
    }
  }
}

function openOf(sockets: readonly WebSocket[]): WebSocket[] {
  return sockets.filter(({ readyState }) => readyState === WebSocket.OPEN);
}
