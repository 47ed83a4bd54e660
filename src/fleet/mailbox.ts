/**
 * The edge's side of `delivery: kv` for one pool session: collects what the pool parked, has it delivered, and answers:
 * through the control channel where that is open, else in Redis. Collecting twice is harmless: events are numbered, and
 * the shards drop what they have.
 *
 *   idle ── notice, lookup, alarm ──▶ collecting ── nothing new ──▶ idle
 */
import { EdgeplaneError } from "../contract/errors.ts";
import { EventsRequestSchema } from "../contract/event.ts";
import type { EventsReply, EventsRequest } from "../contract/event.ts";
import { safeParse } from "../contract/safe-parse.ts";
import { parseWellFormed } from "../contract/well-formed.ts";
import { describeKvError } from "../contract/parked.ts";
import type { ParkedKeys, ParkedOutcome } from "../contract/parked.ts";
import { createObjectTimers } from "../object-timers.ts";
import { within } from "../shard/within.ts";
import { log } from "../telemetry/log.ts";
import type { Parked, ParkedStore } from "./parked-store.ts";

/** A notice may overtake what it tells of, where Redis reads from a replica. */
const NOTICE_PAUSES_MS = [0, 50, 200, 500] as const;

/** A delivery that lasts longer is made again: until it ends, the session can't end, nor its claims be judged. */
const DELIVERY_LIMIT_MS = 60_000;

/** As much as `/pool/v1/events` takes. */
const MAX_REQUEST_CHARS = 30 * 1024 * 1024;

export type MailboxOptions = {
  store: ParkedStore;
  keys: ParkedKeys;
  session: string;
  /**
   * Screens and delivers. Throws an `EdgeplaneError` when the request's content is wrong, or may not be delivered now.
   */
  receive(request: EventsRequest): Promise<EventsReply>;
  /** Tells the pool through its channel; false when that is down. */
  tell(n: number, outcome: ParkedOutcome): boolean;
  pause(ms: number): Promise<unknown>;
};

export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #timers = createObjectTimers();
  #collecting: Promise<number> | null = null;
  /** The highest number that was read. */
  #seen = -1;
  /** The newest request that was dealt with; it may still lie in Redis for a moment. */
  #newest: { n: number; outcome: ParkedOutcome } | null = null;

  constructor(options: MailboxOptions) {
    this.#options = options;
  }

  /**
   * The pool says that it parked `n`: it is told what became of it. Throws when Redis is away; the pool then says it
   * again.
   */
  async noticed(n: number): Promise<void> {
    const before = this.#newest;
    for (const pauseMs of NOTICE_PAUSES_MS) {
      if (pauseMs > 0) await this.#options.pause(pauseMs);
      // A collection under way may have read before `n` was there.
      await this.#collecting?.catch(() => {});
      await this.collect();
      if (this.#seen >= n) break;
    }
    if (before?.n === n) this.#options.tell(n, before.outcome);
    else if (this.#seen < n) this.#options.tell(n, { outcome: "missing" });
  }

  get isCollecting(): boolean {
    return this.#collecting !== null;
  }

  /** Collects all that is parked; how long the pool's heartbeat in Redis still holds. Throws when Redis is away. */
  collect(): Promise<number> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = null;
    });
    return this.#collecting;
  }

  async #collect(): Promise<number> {
    const { store, keys } = this.#options;
    const { parked, aliveMs } = await store.read(keys);
    for (const each of parked) {
      this.#seen = Math.max(this.#seen, each.n);
      const newest = this.#newest;
      const outcome = newest?.n === each.n ? newest.outcome : await this.#deliver(each);
      if (outcome === null) continue;
      await this.#settle(each.n, outcome);
    }
    return aliveMs;
  }

  async #settle(n: number, outcome: ParkedOutcome): Promise<void> {
    const { store, keys, tell } = this.#options;
    const isFinal = outcome.outcome === "answered" || (outcome.outcome === "refused" && outcome.status < 500);
    if (isFinal) this.#newest = { n, outcome };
    if (!tell(n, outcome)) await store.answer(keys, n, outcome);
    // The pool is not made to wait for this. What stays is delivered once more, to no effect.
    else if (isFinal) store.remove(keys, [n]).catch(warn);
  }

  /** Null: nothing became of it yet. It stays where it is. */
  async #deliver({ body }: Parked): Promise<ParkedOutcome | null> {
    if (body.length > MAX_REQUEST_CHARS) {
      return { outcome: "refused", status: 413, message: "What was parked is larger than a shard takes at once." };
    }
    const parsed = safeParse(EventsRequestSchema, parse(body));
    if (!parsed.success || parsed.data.session !== this.#options.session) {
      return { outcome: "refused", status: 422, message: "What was parked is not an events request of this session." };
    }
    try {
      return {
        outcome: "answered",
        reply: await within(this.#options.receive(parsed.data), DELIVERY_LIMIT_MS, this.#timers.after),
      };
    } catch (error) {
      if (error instanceof EdgeplaneError) return { outcome: "refused", status: error.status, message: error.message };
      warn(error);
      return null;
    }
  }
}

function parse(body: string): unknown {
  try {
    return parseWellFormed(body);
  } catch {
    return undefined;
  }
}

/** A line for the operator, without what was parked. */
export function warn(error: unknown): void {
  log.warn("kv_trouble", { message: describeKvError(error) });
}
