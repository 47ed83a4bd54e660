/**
 * Delivery: one request with events in flight; what happens meanwhile rides in the next. An idle pool's event
 * leaves at once, a busy one's batch by themselves.
 *
 *   quiet ── an event ──▶ gathering ── it is time ──▶ sending
 *   sending ── answered, more there ──▶ gathering;  nothing left ──▶ quiet
 *   sending ── no answer ──▶ away: finished claims are spooled, tried again with backoff ──▶ sending
 */
import type { EventVerdict, PoolEvent } from "../../src/contract/event.ts";
import type { ClaimRef } from "../../src/contract/channel.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import type { Clock } from "../scheduling/clock.ts";
import { StatusError } from "../transport/http-client.ts";
import type { EventCarrier } from "./carrier.ts";
import { ClaimOutbox, endsClaim } from "./claim-outbox.ts";
import type { EventBody } from "./claim-outbox.ts";
import type { UsageReport } from "../../src/contract/usage.ts";
import { createGathering } from "./gathering.ts";
import type { Gathering } from "./gathering.ts";
import type { Spool } from "./spool.ts";
import { UsageReports } from "./usage-reports.ts";

const MAX_EVENTS = 2000;
/** A request stops growing here; one event alone may be larger. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** The edge says of a request that its content is wrong: sending it again is no use. */
const REFUSED_STATUSES: ReadonlySet<number> = new Set([400, 413, 422]);
/** A `later` verdict rests this claim for so long. */
const LATER_MS = 100;

export type DeliveryOptions = {
  carrier: EventCarrier;
  session: string;
  clock: Clock;
  spool: Spool;
  /** A `starting` was acknowledged (`ok`), or may not start (`aborted`); `stale`: stop it, it isn't ours any more. */
  onVerdict(ref: ClaimRef, verdict: "started" | "aborted" | "stale", attempt?: number): void;
  onCancel(claims: ClaimRef[]): void;
  /** The last event of this claim has been added. */
  onClosing(token: string): void;
  /** All of these claims' events are at the edge. */
  onEnded(tokens: string[]): void;
  /** The edge takes events (null) or doesn't (why). */
  onState(problem: string | null): void;
  onBatch(events: number): void;
  /** The edge refused a claim's events as wrong; `why` is its answer. */
  onRefused(why: string): void;
};

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #outboxes = new Map<string, ClaimOutbox>();
  /** Claims with something to send, in the order in which it happened. */
  readonly #due = new Set<ClaimOutbox>();
  /** Finished claims that the disk refused; they are kept when it takes them. */
  readonly #unkept = new Set<ClaimOutbox>();
  readonly #reports = new UsageReports();
  readonly #backoff = createBackoff({ firstMs: 50, capMs: 1500 });
  readonly #gathering: Gathering;
  /** When the next request leaves; Infinity: nothing asked for a time. */
  #leavesAtMs = Infinity;
  #busy = false;
  #away = false;
  #heartbeatDue = false;
  /** How many requests still carry one claim only, to find the one that the edge refuses. */
  #singly = 0;
  #endRest: (() => void) | null = null;
  /** Whose end the next request waits for, and what ends the wait. */
  #lull: { token: string; over: Promise<void>; end(): void } | null = null;
  #endGathering: (() => void) | null = null;
  #onQuiet: (() => void)[] = [];

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#gathering = createGathering(options.clock);
  }

  /** How many claims have events that the edge lacks. */
  get pending(): number {
    let pending = 0;
    for (const outbox of this.#outboxes.values()) if (!outbox.empty) pending += 1;
    return pending;
  }

  get away(): boolean {
    return this.#away;
  }

  /** Opens a claim: its next event gets number `seq`. */
  open(ref: ClaimRef, seq: number): void {
    if (!this.#outboxes.has(ref.token)) {
      this.#outboxes.set(ref.token, new ClaimOutbox(ref.id, ref.token, seq));
    }
  }

  /** Adds an event of an open claim; one of an ended claim is dropped. `sizeBytes` is about what it weighs. */
  add(token: string, body: EventBody, sizeBytes = 64): void {
    const outbox = this.#outboxes.get(token);
    if (outbox === undefined || !outbox.add(body, sizeBytes)) return;
    if (this.#away && outbox.closing) this.#keep(outbox);
    this.#due.add(outbox);
    if (outbox.closing) {
      // Before the request is formed: what this lets begin rides in it.
      this.#options.onClosing(token);
      this.#endLull(token);
    }
    this.#kick(this.#gathering.leavesAtMs(body.type));
  }

  /** Tells what an attempt took of whose end no event tells. */
  report(report: UsageReport): void {
    this.#reports.add(report);
    this.#kick(this.#gathering.leavesAtMs("metric"));
  }

  /** What is still to be told of attempts. */
  get reports(): UsageReport[] {
    return this.#reports.all();
  }

  /** Forgets a claim without a word: nobody wants its events any more. */
  forget(token: string): void {
    const outbox = this.#outboxes.get(token);
    if (outbox !== undefined) this.#end([outbox]);
  }

  /** Sends what an earlier life of this pool spooled. Returns the tokens. */
  restore(): { tokens: Set<string>; bad: string[] } {
    const { claims, bad } = this.#options.spool.load();
    const tokens = new Set<string>();
    for (const events of claims) {
      const [first] = events;
      if (first === undefined) continue;
      const outbox = new ClaimOutbox(first.id, first.token, first.seq);
      outbox.restore(events);
      this.#outboxes.set(first.token, outbox);
      this.#due.add(outbox);
      tokens.add(first.token);
    }
    this.#kick();
    return { tokens, bad };
  }

  /** The next request holds the lease, as the control channel is down; one goes without events if there are none. */
  heartbeat(): void {
    this.#heartbeatDue = true;
    this.#kick();
  }

  /**
   * The next request waits for the end of this claim, at most `limitMs`: others wait for their turn behind it, and
   * without this a run that is shorter than a request would miss one and wait for the next.
   */
  lingerFor(token: string, limitMs: number): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#lull = { token, over: promise, end: resolve };
    this.#options.clock.after(limitMs, resolve);
  }

  /** Tries at once instead of waiting for the backoff: the edge was just heard of. */
  retryNow(): void {
    this.#endRest?.();
  }

  /** Resolves when nothing is left to send, or after `limitMs` with what is left spooled. */
  async flush(limitMs: number): Promise<void> {
    if (this.pending + this.#reports.size === 0) return;
    this.#kick();
    await new Promise<void>((resolve) => {
      this.#onQuiet.push(resolve);
      this.#options.clock.after(limitMs, resolve);
    });
    for (const outbox of this.#outboxes.values()) if (outbox.closing && !outbox.empty) this.#keep(outbox);
  }

  /** Something is to be sent, at `atMs` at the latest. */
  #kick(atMs = 0): void {
    if (atMs < this.#leavesAtMs) {
      this.#leavesAtMs = atMs;
      this.#endGathering?.();
    }
    if (this.#busy) return;
    this.#busy = true;
    queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#due.size > 0 || this.#heartbeatDue || this.#reports.areDue) {
      await this.#gather();
      try {
        await this.#lull?.over;
        await this.#sendOnce();
        this.#backoff.reset();
        this.#setAway(null);
      } catch (error) {
        this.#setAway(error instanceof Error ? error.message : String(error));
        await this.#rest(this.#backoff.nextMs());
      }
    }
    this.#busy = false;
    if (this.pending + this.#reports.size === 0) for (const resolve of this.#onQuiet.splice(0)) resolve();
  }

  async #gather(): Promise<void> {
    for (;;) {
      const leftMs = this.#leavesAtMs - this.#options.clock.nowMs();
      if (leftMs <= 0 || leftMs === Infinity) break;
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(leftMs, resolve);
        this.#endGathering = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#endGathering = null;
    this.#leavesAtMs = Infinity;
  }

  #endLull(token: string): void {
    if (this.#lull?.token !== token) return;
    this.#lull.end();
    this.#lull = null;
  }

  async #sendOnce(): Promise<void> {
    const { carrier, session } = this.#options;
    const carried = new Map<ClaimOutbox, { upTo: number; starting: boolean }>();
    const parts: string[] = [];
    let sizeBytes = 0;
    const heartbeat = this.#heartbeatDue ? '"heartbeat":true,' : "";
    this.#heartbeatDue = false;
    for (const outbox of this.#due) {
      const full = parts.length >= MAX_EVENTS || sizeBytes >= MAX_REQUEST_BYTES;
      if (full || (this.#singly > 0 && carried.size > 0)) break;
      this.#due.delete(outbox);
      const { events, texts } = writeEvents(outbox);
      const last = events.at(-1);
      if (last === undefined) continue;
      parts.push(...texts);
      sizeBytes += texts.reduce((sum, text) => sum + text.length, 0);
      carried.set(outbox, { upTo: last.seq + 1, starting: events.some(isStarting) });
    }
    const reports = this.#singly > 0 ? [] : this.#reports.take(parts.length === 0);
    const usage = reports.length === 0 ? "" : `"usage":${JSON.stringify(reports)},`;
    try {
      const body = `{"session":${JSON.stringify(session)},${heartbeat}${usage}"events":[${parts.join(",")}]}`;
      this.#gathering.sent(parts.length);
      const { verdicts, cancel, usage: taken } = await carrier.carry(body, parts.length);
      if (parts.length > 0) this.#options.onBatch(parts.length);
      this.#apply(carried, verdicts);
      if (this.#reports.answered(reports, taken)) this.#options.clock.after(LATER_MS, () => this.#reportAgain());
      if (cancel.length > 0) this.#options.onCancel(cancel);
      if (this.#singly > 0) this.#singly -= 1;
    } catch (error) {
      for (const outbox of carried.keys()) this.#due.add(outbox);
      if (!(error instanceof StatusError) || !REFUSED_STATUSES.has(error.status)) throw error;
      if (carried.size + reports.length === 0) throw error;
      this.#reports.refused(reports, carried.size === 0);
      if (carried.size > 0 && reports.length === 0) this.#findRefused([...carried.keys()], error);
      else if (carried.size === 0) this.#options.onRefused(error.message);
    }
  }

  /** Among several claims the refused one is found by sending each alone; a claim alone is the refused one. */
  #findRefused(outboxes: ClaimOutbox[], error: StatusError): void {
    const [only] = outboxes;
    if (only === undefined || outboxes.length > 1) {
      this.#singly = outboxes.length;
      return;
    }
    this.#options.onRefused(error.message);
    if (!only.refuse(`The edge refused this prediction's result (status ${error.status}).`)) this.#end([only]);
  }

  #apply(carried: Map<ClaimOutbox, { upTo: number; starting: boolean }>, verdicts: EventVerdict[]): void {
    const byToken = new Map(verdicts.map((verdict) => [verdict.token, verdict]));
    const ended: ClaimOutbox[] = [];
    for (const [outbox, { upTo, starting }] of carried) {
      const verdict = byToken.get(outbox.token);
      const ref = { id: outbox.id, token: outbox.token };
      if (verdict === undefined || verdict.verdict === "later") {
        this.#options.clock.after(LATER_MS, () => this.#again(outbox));
      } else if (endsClaim(verdict.verdict)) {
        ended.push(outbox);
        this.#options.onVerdict(ref, verdict.verdict === "aborted" ? "aborted" : "stale");
      } else if (verdict.verdict === "resend") {
        outbox.resend(verdict.next ?? 0);
        this.#due.add(outbox);
      } else {
        const more = outbox.acknowledged(verdict.next, upTo);
        if (starting) this.#options.onVerdict(ref, "started", verdict.attempt);
        if (more) this.#due.add(outbox);
        else if (outbox.closing && outbox.empty) ended.push(outbox);
      }
    }
    if (ended.length > 0) this.#end(ended);
  }

  #reportAgain(): void {
    this.#reports.again();
    this.#kick();
  }

  #again(outbox: ClaimOutbox): void {
    if (!this.#outboxes.has(outbox.token)) return;
    this.#due.add(outbox);
    this.#kick();
  }

  #end(outboxes: ClaimOutbox[]): void {
    for (const outbox of outboxes) {
      this.#outboxes.delete(outbox.token);
      this.#due.delete(outbox);
      this.#unkept.delete(outbox);
      this.#endLull(outbox.token);
      this.#options.spool.drop(outbox.id, outbox.token);
    }
    this.#options.onEnded(outboxes.map((outbox) => outbox.token));
  }

  #setAway(problem: string | null): void {
    this.#options.onState(problem);
    if (problem !== null && !this.#away) {
      for (const outbox of this.#outboxes.values()) if (outbox.closing) this.#keep(outbox);
    } else if (problem !== null) for (const outbox of this.#unkept) this.#keep(outbox);
    this.#away = problem !== null;
  }

  /** A disk that refuses is no reason to stop: the events are in memory too. */
  #keep(outbox: ClaimOutbox): void {
    try {
      this.#options.spool.keep(outbox.id, outbox.token, outbox.all());
      this.#unkept.delete(outbox);
    } catch (error) {
      this.#unkept.add(outbox);
      this.#options.onState(`the spool can't be written: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#endRest = () => {
        cancel();
        resolve();
      };
    });
  }
}

/**
 * The next events of a claim, and their JSON. What can't be written, as it is nested too deeply, fails its own
 * prediction only.
 */
function writeEvents(outbox: ClaimOutbox): { events: PoolEvent[]; texts: string[] } {
  const events = outbox.take(MAX_EVENTS);
  try {
    return { events, texts: events.map((event) => JSON.stringify(event)) };
  } catch {
    outbox.refuse("The model's result is nested too deeply to be sent.");
    return writeEvents(outbox);
  }
}

function isStarting(event: PoolEvent): boolean {
  return event.type === "starting";
}
