/**
 * The events of one claim on their way to the edge. An event gets its `seq` when it is first sent, so that what has not
 * left yet may still be merged or dropped; once sent, it keeps its number until the edge has it.
 *
 *   open ── terminal event added ──▶ closing ── all acknowledged ──▶ done
 *   any ── stale, aborted ──▶ done
 */
import { MAX_CHUNK_BYTES, MAX_LOG_CHARS } from "../../src/contract/event.ts";
import type { EventVerdict, PoolEvent } from "../../src/contract/event.ts";

/**
 * For a claim of an earlier life of this pool, of which nobody knows how many events it sent: a number past all gaps,
 * to which the edge answers where to go on.
 */
export const UNKNOWN_SEQ = 2 ** 40;

type Unnumbered<E> = E extends unknown ? Omit<E, "id" | "token" | "seq"> : never;
/** An event before it has a claim and a number. */
export type EventBody = Unnumbered<PoolEvent>;

const terminalTypes: ReadonlySet<string> = new Set(["succeeded", "failed", "released"]);

/**
 * A request takes no more of one claim than this, about; one event alone may be larger. What is numbered can't be
 * dropped any more.
 */
const MAX_TAKEN_BYTES = 1024 * 1024;

/** A claim keeps no more unsent logs and chunks than this, about: the terminal event carries the whole output. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;

/** What stands in the prediction's logs in their place. */
const SHED_LOGS = "[edgeplane] Logs were dropped here: the edge could not be reached, and too much waited for it.\n";
const SHED_CHUNKS =
  "[edgeplane] Logs and chunks of the output were dropped from here on: the edge could not be reached, and too much waited for it. The whole output comes with the end.\n";

const LARGE_CHUNK = `[edgeplane] A chunk of the output is larger than ${MAX_CHUNK_BYTES / 1e6} MB: it and what follows are not streamed. The whole output comes with the end.\n`;

type Sent = { event: PoolEvent; sizeBytes: number };
type Unsent = { body: EventBody; sizeBytes: number };

export class ClaimOutbox {
  readonly id: string;
  readonly token: string;
  /**
   * Numbered and not known to be stored, in order of `seq`. The edge may have taken them without having stored them
   * yet.
   */
  #sent: Sent[] = [];
  /** The edge has taken everything below this number; it asks for what it lost before it stored it. */
  #takenUpTo = 0;
  #unsent: Unsent[] = [];
  #unsentBytes = 0;
  /** A chunk was dropped: no later one is sent, so that those that the edge has are always the first ones. */
  #isCut = false;
  #nextSeq: number;
  #closing = false;
  #refused = false;

  constructor(id: string, token: string, nextSeq: number) {
    this.id = id;
    this.token = token;
    this.#nextSeq = nextSeq;
  }

  get closing(): boolean {
    return this.#closing;
  }

  get empty(): boolean {
    return this.#sent.length === 0 && this.#unsent.length === 0;
  }

  get nextSeq(): number {
    return this.#nextSeq;
  }

  /** Adds an event; false when it was dropped: the claim is closing, or chunks before it were dropped. */
  add(body: EventBody, sizeBytes: number): boolean {
    if (this.#closing || (this.#isCut && body.type === "output")) return false;
    if (body.type === "log" && body.text.length > MAX_LOG_CHARS) this.#addLog(body.text.slice(-MAX_LOG_CHARS));
    else if (body.type === "log") this.#addLog(body.text, sizeBytes);
    else if (body.type === "output" && sizeBytes > MAX_CHUNK_BYTES) {
      this.#isCut = true;
      this.#addLog(LARGE_CHUNK);
    } else {
      this.#unsent.push({ body, sizeBytes });
      this.#unsentBytes += sizeBytes;
    }
    if (terminalTypes.has(body.type)) this.#closing = true;
    if (this.#unsentBytes > MAX_UNSENT_BYTES) this.#shed();
    return true;
  }

  #addLog(text: string, sizeBytes = text.length): void {
    const last = this.#unsent.at(-1);
    if (last?.body.type === "log" && last.body.text.length + text.length <= MAX_LOG_CHARS) {
      last.body = { type: "log", text: last.body.text + text };
      last.sizeBytes += sizeBytes;
    } else {
      this.#unsent.push({ body: { type: "log", text }, sizeBytes });
    }
    this.#unsentBytes += sizeBytes;
  }

  /** Every event that the edge has not stored, numbered. */
  all(): PoolEvent[] {
    this.#number(this.#unsent);
    return this.#sent.map(({ event }) => event);
  }

  /**
   * The first `limit` events that the edge has not taken, numbered, as they go into the next request; of many bytes,
   * fewer.
   */
  take(limit = Infinity): PoolEvent[] {
    const numbered = this.#sent.filter(({ event }) => event.seq >= this.#takenUpTo);
    const again = firstOf(numbered, limit, MAX_TAKEN_BYTES);
    const leftBytes = MAX_TAKEN_BYTES - bytesOf(again);
    const fresh = again.length < numbered.length ? [] : firstOf(this.#unsent, limit - again.length, leftBytes);
    return [...again, ...this.#number(fresh)].map(({ event }) => event);
  }

  /**
   * The edge will not have these events: in their place goes one `failed` that says so. False when that was refused
   * too.
   */
  refuse(message: string): boolean {
    if (this.#refused) return false;
    this.#refused = true;
    this.#closing = true;
    const seq = this.#sent.find(({ event }) => event.seq >= this.#takenUpTo)?.event.seq ?? this.#nextSeq;
    const error = { code: "model_error", message };
    const usage = this.#usage();
    const event: PoolEvent = { id: this.id, token: this.token, seq, type: "failed", kind: "model", error, ...usage };
    this.#sent = [{ event, sizeBytes: message.length }];
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#nextSeq = seq + 1;
    return true;
  }

  /** What the claim's end, if it is here, tells of its run. */
  #usage(): Pick<Extract<PoolEvent, { type: "failed" }>, "usage"> {
    const bodies: EventBody[] = [...this.#sent.map(({ event }) => event), ...this.#unsent.map(({ body }) => body)];
    const end = bodies.findLast((body) => "usage" in body);
    return end !== undefined && "usage" in end ? { usage: end.usage } : {};
  }

  /** Puts kept events of an earlier life in; they were numbered then. */
  restore(events: readonly PoolEvent[]): void {
    this.#sent = events.map((event) => ({ event, sizeBytes: JSON.stringify(event).length }));
    this.#nextSeq = (events.at(-1)?.seq ?? this.#nextSeq - 1) + 1;
    this.#closing = events.some((event) => terminalTypes.has(event.type));
  }

  /**
   * The edge took everything up to `sentUpTo` (not included), what the answered request carried, and stored everything
   * up to `next`. True when events remain that it has not taken.
   */
  acknowledged(next: number | undefined, sentUpTo: number): boolean {
    const storedUpTo = next ?? sentUpTo;
    this.#takenUpTo = Math.max(this.#takenUpTo, sentUpTo);
    this.#sent = this.#sent.filter(({ event }) => event.seq >= storedUpTo);
    return this.#unsent.length > 0 || this.#nextSeq > this.#takenUpTo;
  }

  /** The edge misses events from `from` on. What it asks for and is gone was already acknowledged once: number anew. */
  resend(from: number): void {
    this.#takenUpTo = from;
    this.#sent = this.#sent.filter(({ event }) => event.seq >= from);
    const first = this.#sent[0]?.event;
    if (first !== undefined && first.seq !== from) this.#renumber(from);
    if (first === undefined) this.#nextSeq = from;
  }

  /** Numbers `next`, the first of what is unsent. */
  #number(next: readonly Unsent[]): Sent[] {
    const sent = next.map(({ body, sizeBytes }, index): Sent => ({
      event: { id: this.id, token: this.token, seq: this.#nextSeq + index, ...body },
      sizeBytes,
    }));
    this.#sent = [...this.#sent, ...sent];
    this.#nextSeq += sent.length;
    this.#unsentBytes -= bytesOf(next);
    this.#unsent = this.#unsent.slice(next.length);
    return sent;
  }

  #renumber(from: number): void {
    this.#sent = this.#sent.map(({ event, sizeBytes }, index) => ({
      event: { ...event, seq: from + index },
      sizeBytes,
    }));
    this.#nextSeq = from + this.#sent.length;
  }

  /** Drops the logs and chunks that wait, and says so in their place. */
  #shed(): void {
    this.#isCut ||= this.#unsent.some(({ body }) => body.type === "output");
    const kept = this.#unsent.filter(({ body }) => body.type !== "log" && body.type !== "output");
    const text = this.#isCut ? SHED_CHUNKS : SHED_LOGS;
    const notice: Unsent = { body: { type: "log", text }, sizeBytes: text.length };
    this.#unsent = this.#closing ? kept.toSpliced(-1, 0, notice) : [...kept, notice];
    this.#unsentBytes = bytesOf(this.#unsent);
  }
}

/** Whether this verdict ends the claim. */
export function endsClaim(verdict: EventVerdict["verdict"]): boolean {
  return verdict === "stale" || verdict === "aborted";
}

type Weighed = { sizeBytes: number };

function bytesOf(items: readonly Weighed[]): number {
  return items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** The first of `items`, at most `limit`, until they weigh `maxBytes`: the last one may reach beyond it. */
function firstOf<T extends Weighed>(items: readonly T[], limit: number, maxBytes: number): T[] {
  const first: T[] = [];
  let sizeBytes = 0;
  for (const item of items) {
    if (first.length >= limit || sizeBytes >= maxBytes) break;
    first.push(item);
    sizeBytes += item.sizeBytes;
  }
  return first;
}
