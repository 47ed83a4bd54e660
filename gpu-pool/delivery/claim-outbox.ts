/**
 * The events of one claim on their way to the edge. An event gets its `seq` when it is first sent, so that what has not
 * left yet may still be merged or dropped; once sent, it keeps its number until the edge has it.
 *
 *   open ── terminal event added ──▶ closing ── all acknowledged ──▶ done
 *   any ── stale, aborted ──▶ done
 */
import type { EventVerdict, PoolEvent } from "../../src/contract/event.ts";

/**
 * For a claim of an earlier life of this pool, of which nobody knows how many events it sent: a number past all gaps, to which
 * the edge answers where to go on.
 */
export const UNKNOWN_SEQ = 2 ** 40;

type Unnumbered<E> = E extends unknown ? Omit<E, "id" | "token" | "seq"> : never;
/** An event before it has a claim and a number. */
export type EventBody = Unnumbered<PoolEvent>;

const terminalTypes: ReadonlySet<string> = new Set(["succeeded", "failed", "released"]);

/** A claim keeps no more unsent logs and chunks than this, about: the terminal event carries the whole output. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;

export class ClaimOutbox {
  readonly id: string;
  readonly token: string;
  /** Numbered and not known to be stored, in order of `seq`. The edge may have taken them without having stored them yet. */
  #sent: PoolEvent[] = [];
  /** The edge has taken everything below this number; it asks for what it lost before it stored it. */
  #takenUpTo = 0;
  #unsent: EventBody[] = [];
  #unsentBytes = 0;
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

  /** Adds an event; false when it was dropped because the claim is closing. */
  add(body: EventBody, sizeBytes: number): boolean {
    if (this.#closing) return false;
    const last = this.#unsent.at(-1);
    if (body.type === "log" && last?.type === "log") {
      this.#unsent[this.#unsent.length - 1] = { type: "log", text: last.text + body.text };
    } else {
      this.#unsent.push(body);
    }
    this.#unsentBytes += sizeBytes;
    if (terminalTypes.has(body.type)) this.#closing = true;
    if (this.#unsentBytes > MAX_UNSENT_BYTES) this.#shed();
    return true;
  }

  /** Every event that the edge has not stored, numbered. */
  all(): PoolEvent[] {
    this.#number(Infinity);
    return this.#sent;
  }

  /** The first `limit` events that the edge has not taken, numbered, as they go into the next request. */
  take(limit = Infinity): PoolEvent[] {
    const waiting = this.#sent.filter((event) => event.seq >= this.#takenUpTo);
    this.#number(limit - waiting.length);
    return this.#sent.filter((event) => event.seq >= this.#takenUpTo).slice(0, limit);
  }

  /**
   * The edge will not have these events: in their place goes one `failed` that says so. False when that was refused too.
   */
  refuse(message: string): boolean {
    if (this.#refused) return false;
    this.#refused = true;
    this.#closing = true;
    const seq = this.#sent.find((event) => event.seq >= this.#takenUpTo)?.seq ?? this.#nextSeq;
    const error = { code: "model_error", message };
    this.#sent = [{ id: this.id, token: this.token, seq, type: "failed", kind: "model", error }];
    this.#unsent = [];
    this.#nextSeq = seq + 1;
    return true;
  }

  /** Puts kept events of an earlier life in; they were numbered then. */
  restore(events: readonly PoolEvent[]): void {
    this.#sent = [...events];
    this.#nextSeq = (events.at(-1)?.seq ?? this.#nextSeq - 1) + 1;
    this.#closing = events.some((event) => terminalTypes.has(event.type));
  }

  /**
   * The edge took everything up to `sentUpTo` (not included), what the answered request carried, and stored everything up to
   * `next`. True when events remain that it has not taken.
   */
  acknowledged(next: number | undefined, sentUpTo: number): boolean {
    const storedUpTo = next ?? sentUpTo;
    this.#takenUpTo = Math.max(this.#takenUpTo, sentUpTo);
    this.#sent = this.#sent.filter((event) => event.seq >= storedUpTo);
    return this.#unsent.length > 0 || this.#nextSeq > this.#takenUpTo;
  }

  /** The edge misses events from `from` on. What it asks for and is gone was already acknowledged once: number anew. */
  resend(from: number): void {
    this.#takenUpTo = from;
    this.#sent = this.#sent.filter((event) => event.seq >= from);
    const first = this.#sent[0];
    if (first !== undefined && first.seq !== from) this.#renumber(from);
    if (first === undefined) this.#nextSeq = from;
  }

  #number(count: number): void {
    if (count <= 0 || this.#unsent.length === 0) return;
    for (const body of this.#unsent.slice(0, count)) {
      this.#sent.push({ id: this.id, token: this.token, seq: this.#nextSeq, ...body });
      this.#nextSeq += 1;
    }
    this.#unsent = this.#unsent.slice(count);
    if (this.#unsent.length === 0) this.#unsentBytes = 0;
  }

  #renumber(from: number): void {
    this.#sent = this.#sent.map((event, index) => ({ ...event, seq: from + index }));
    this.#nextSeq = from + this.#sent.length;
  }

  #shed(): void {
    this.#unsent = this.#unsent.filter((body) => body.type !== "log" && body.type !== "output");
    this.#unsentBytes = 0;
  }
}

/** Whether this verdict ends the claim. */
export function endsClaim(verdict: EventVerdict["verdict"]): boolean {
  return verdict === "stale" || verdict === "aborted";
}
