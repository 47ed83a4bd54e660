/**
 * What a pool session has to do with Redis, where its pool parks its events (`delivery: kv`); nothing, where it
 * doesn't.
 */
import type { ClaimRef } from "../contract/channel.ts";
import { describeKvError, parkedKeys, probeKey } from "../contract/parked.ts";
import type { ParkedOutcome } from "../contract/parked.ts";
import type { EventsReply, EventsRequest } from "../contract/event.ts";
import type { Env } from "../env.ts";
import { Mailbox, warn } from "./mailbox.ts";
import { createParkedStore, parkedSettings } from "./parked-store.ts";
import type { ParkedStore } from "./parked-store.ts";
import type { ParkedAt } from "./types.ts";

/** Lookups of one session that come closer together than this are one. */
const LOOK_EVERY_MS = 400;
/** A replica may not have the probe yet. */
const PROBE_PAUSES_MS = [0, 100, 400, 1000] as const;
const REFUSED = /WRONGPASS|NOAUTH|NOPERM|unauthorized/i;

/** What to tell the pool: null when the edge finds what it parks. `final`: not without a change of settings. */
export type ParkingProblem = { problem: string | null; final: boolean };

export type ParkingOptions = {
  env: Env;
  receive(request: EventsRequest): Promise<EventsReply>;
  tell(n: number, outcome: ParkedOutcome): boolean;
};

export class Parking {
  readonly #options: ParkingOptions;
  readonly #store: ParkedStore | null;
  #mailbox: Mailbox | null = null;
  #keys: ReturnType<typeof parkedKeys> | null = null;
  /** What the pool noticed before its hello was dealt with: it parks while its channel opens. */
  #early: number | null = null;
  #lookedAt = 0;
  #isFound = false;

  constructor(options: ParkingOptions) {
    this.#options = options;
    const settings = parkedSettings(options.env);
    this.#store = settings === null ? null : createParkedStore(settings);
  }

  /** The session parks its events there. Without settings for Redis nothing is looked for. */
  open(session: string, { prefix }: ParkedAt): void {
    if (this.#store === null || !prefix.startsWith(parkedSettings(this.#options.env)?.prefix ?? "")) return;
    const { receive, tell } = this.#options;
    if (this.#keys?.out === parkedKeys(prefix, session).out) return;
    this.#keys = parkedKeys(prefix, session);
    const pause = (ms: number) => scheduler.wait(ms);
    this.#mailbox = new Mailbox({ store: this.#store, keys: this.#keys, session, receive, tell, pause });
    if (this.#early !== null) void this.noticed(this.#early);
    this.#early = null;
  }

  close(): void {
    this.#mailbox = null;
    this.#keys = null;
    this.#early = null;
  }

  /** Whether the edge finds what the pool parks. */
  async check({ prefix, probe }: ParkedAt): Promise<ParkingProblem> {
    const settings = parkedSettings(this.#options.env);
    if (settings === null || this.#store === null) {
      return final("the edge has no Redis (KV_REST_URL, KV_REST_TOKEN): set them there, or start with --delivery http");
    }
    if (!prefix.startsWith(settings.prefix)) {
      return final(`the edge reads keys that begin with \`${settings.prefix}\` only (KV_PREFIX): check --kv-prefix`);
    }
    try {
      for (const pauseMs of PROBE_PAUSES_MS) {
        if (pauseMs > 0) await scheduler.wait(pauseMs);
        this.#isFound ||= (await this.#store.probe(probeKey(prefix, probe))) === probe;
        if (this.#isFound) return { problem: null, final: false };
      }
      return final("the edge reads from another Redis than this pool: KV_REST_URL there and --kv-url here differ");
    } catch (error) {
      const why = describeKvError(error);
      const host = hostOf(settings.url);
      if (REFUSED.test(why)) return final(`the edge may not read at ${host} (KV_REST_TOKEN there): ${why}`);
      return { problem: `the edge can't reach ${host} (KV_REST_URL there): ${why}`, final: false };
    }
  }

  /** The pool says that it parked request `n`. */
  async noticed(n: number): Promise<void> {
    if (this.#mailbox === null) this.#early = n;
    await this.#mailbox?.noticed(n).catch(warn);
  }

  /**
   * Collects what is parked; for how many ms the pool's heartbeat in Redis still holds. Whoever asks meanwhile waits
   * for it too: who ends the session must not do so under it. `isLast`: nobody looks again, so that no lookup before
   * this one is good enough.
   */
  async look(isLast = false): Promise<number> {
    const mailbox = this.#mailbox;
    if (mailbox === null) return 0;
    const isFresh = Date.now() - this.#lookedAt < LOOK_EVERY_MS;
    if (isFresh && !isLast && !mailbox.isCollecting) return 0;
    this.#lookedAt = Date.now();
    try {
      if (isLast && mailbox.isCollecting) await mailbox.collect().catch(warn);
      return await mailbox.collect();
    } catch (error) {
      warn(error);
      return 0;
    }
  }

  /** Leaves word of claims to stop, for a pool whose channel is down. */
  async stop(claims: readonly ClaimRef[]): Promise<void> {
    if (this.#keys !== null) await this.#store?.stop(this.#keys, claims).catch(warn);
  }
}

function final(problem: string): ParkingProblem {
  return { problem, final: true };
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "its Redis";
}
