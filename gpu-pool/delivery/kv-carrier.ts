/**
 * `delivery: kv`: requests with events are parked in Redis. The edge hears of each through the control channel and
 * answers there; while that is down it finds them by itself, and its answers are looked for in Redis.
 *
 *   parked ── settled (channel) | answer (Redis) ──▶ answered
 *   parked ── nothing in time, or gone from Redis ──▶ parked again, under a new number
 *
 * What is parked is a copy: Delivery keeps every event until the shard has it, so an emptied Redis loses time and
 * nothing else.
 */
import type { ClaimRef, PoolMessage } from "../../src/contract/channel.ts";
import type { ParkedOutcome } from "../../src/contract/parked.ts";
import type { Clock } from "../scheduling/clock.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { EventCarrier } from "./carrier.ts";
import type { ParkedRedis } from "./parked-redis.ts";

/** After this everything that has happened meanwhile is parked in its place. */
const ANSWER_TIMEOUT_MS = 5000;
const FIRST_LOOK_MS = 100;
const LOOK_CAP_MS = 1000;
const NOTICE_AGAIN_MS = 1000;

export type KvCarrierOptions = {
  redis: ParkedRedis;
  clock: Clock;
  hello: NonNullable<EventCarrier["hello"]["kv"]>;
  channel(): { readonly open: boolean; readonly leaseMs: number; send(message: PoolMessage): void } | null;
  onCancel(claims: ClaimRef[]): void;
  /** Sees to it that the edge finds the probe when the channel opens again. */
  renewProbe(): void;
};

type Pending = { n: number; settle(outcome: ParkedOutcome): void; noticedAtMs: number };

export class KvCarrier implements EventCarrier {
  readonly hello: EventCarrier["hello"];
  readonly #options: KvCarrierOptions;
  #lastN = 0;
  /** The last that was parked, as long as no answer to it came. */
  #unanswered: number | null = null;
  #pending: Pending | null = null;

  constructor(options: KvCarrierOptions) {
    this.#options = options;
    this.hello = { kv: options.hello };
  }

  async carry(body: string, events: number): ReturnType<EventCarrier["carry"]> {
    const { redis } = this.#options;
    if (events === 0) {
      this.#cancel(await redis.beat(this.#leaseSeconds()));
      return { verdicts: [], cancel: [] };
    }
    const n = (this.#lastN += 1);
    const leaseSeconds = this.#channelIsOpen() ? null : this.#leaseSeconds();
    await redis.park(n, body, { before: this.#unanswered, leaseSeconds });
    this.#unanswered = n;
    const outcome = await this.#outcomeOf(n);
    if (outcome.outcome === "missing") throw new TransportError("Redis has lost what was parked");
    if (outcome.outcome === "refused") throw new StatusError(outcome.status, "the parked request", outcome.message);
    this.#unanswered = null;
    return outcome.reply;
  }

  misfit({ kv }: Parameters<EventCarrier["misfit"]>[0]): ReturnType<EventCarrier["misfit"]> {
    if (kv === undefined)
      return { problem: "this edge does not know --delivery kv: start with --delivery http", final: true };
    return kv.problem === null ? null : { problem: kv.problem, final: kv.final };
  }

  settled({ n, outcome }: Parameters<EventCarrier["settled"]>[0]): void {
    if (this.#pending?.n === n) this.#pending.settle(outcome);
  }

  channelOpened(): void {
    if (this.#pending !== null) this.#notice(this.#pending);
  }

  channelDown(): void {
    this.#options.renewProbe();
  }

  async #outcomeOf(n: number): Promise<ParkedOutcome> {
    const { clock } = this.#options;
    const { promise, resolve } = Promise.withResolvers<ParkedOutcome>();
    const pending = { n, settle: resolve, noticedAtMs: -Infinity };
    this.#pending = pending;
    const giveUpAtMs = clock.nowMs() + ANSWER_TIMEOUT_MS;
    try {
      for (let pauseMs = FIRST_LOOK_MS; clock.nowMs() < giveUpAtMs; pauseMs = Math.min(pauseMs * 2, LOOK_CAP_MS)) {
        if (clock.nowMs() - pending.noticedAtMs >= NOTICE_AGAIN_MS) this.#notice(pending);
        const outcome = (await this.#within(pauseMs, promise)) ?? (await this.#look(n));
        if (outcome !== null) return outcome;
      }
    } finally {
      this.#pending = null;
    }
    throw new TransportError("what was parked in Redis has not been answered yet");
  }

  /** Only without a channel: with one, the answer comes there. */
  async #look(n: number): Promise<ParkedOutcome | null> {
    if (this.#channelIsOpen()) return null;
    const { outcome, stop } = await this.#options.redis.poll(n);
    this.#cancel(stop);
    return outcome;
  }

  #notice(pending: Pending): void {
    if (!this.#channelIsOpen()) return;
    pending.noticedAtMs = this.#options.clock.nowMs();
    this.#options.channel()?.send({ type: "parked", n: pending.n });
  }

  #cancel(claims: ClaimRef[]): void {
    if (claims.length > 0) this.#options.onCancel(claims);
  }

  #channelIsOpen(): boolean {
    return this.#options.channel()?.open ?? false;
  }

  #leaseSeconds(): number {
    return Math.ceil((this.#options.channel()?.leaseMs ?? 15_000) / 1000);
  }

  async #within(ms: number, promise: Promise<ParkedOutcome>): Promise<ParkedOutcome | null> {
    let cancelTimer: () => void = () => {};
    const late = new Promise<null>((resolve) => {
      cancelTimer = this.#options.clock.after(ms, () => resolve(null));
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      cancelTimer();
    }
  }
}
