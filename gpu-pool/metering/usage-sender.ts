/**
 * Tells the edge what instances had of devices: closed and kept on disk every minute, sent until it is taken. A pool
 * that is killed loses the open minute; its next life sends the others first.
 *
 *   a minute ends ──▶ kept ── an attempt ran, or an instance was set up ──▶ sent
 *                       └ nothing did ──▶ merged ── a quarter of an hour since the last sending ──▶ sent
 *
 * Each call wakes a meter of the edge's, and one that an idle pool woke every minute would cost as much as a busy one.
 */
import { IntervalsReplySchema } from "../../src/contract/usage.ts";
import type { IntervalsRequest, UsageReport } from "../../src/contract/usage.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { Interval, InstanceMeter } from "./instance-meter.ts";
import { IntervalBook } from "./interval-book.ts";
import type { BookState, Numbered } from "./interval-book.ts";
import type { UsageFile } from "./usage-file.ts";

const CLOSE_EVERY_MS = 60_000;
/** While nothing runs and nothing is set up. */
const SEND_EVERY_MS = 900_000;
const SEND_TIMEOUT_MS = 10_000;
/** The edge sums by the hour of an interval's end: one hour's are merged into no other's. */
const HOUR_MS = 3_600_000;

export type UsageSenderOptions = {
  http: Pick<HttpClient, "json">;
  clock: Clock;
  session: string;
  instances: InstanceMeter;
  /** What attempts had of devices so far. */
  busyUs(): number;
  file: UsageFile;
  /** Reports of attempts that the edge has not taken. */
  reports(): UsageReport[];
  /** Milliseconds since the epoch. */
  wallMs(): number;
  /** The edge refused intervals as wrong. */
  onRefused(why: string): void;
};

export class UsageSender {
  readonly #options: UsageSenderOptions;
  readonly #book = new IntervalBook();
  /** Of earlier lives of this pool. */
  readonly #before: { session: string; book: IntervalBook }[] = [];
  #sending: Promise<void> | null = null;
  #cancel = (): void => {};
  /** When all was sent last. */
  #sentAtMs: number;
  #busyUs = 0;
  /** Whether what is kept is to be sent as soon as the edge takes it. */
  #isDue = false;

  constructor(options: UsageSenderOptions) {
    this.#options = options;
    this.#sentAtMs = options.clock.nowMs();
  }

  /** What an earlier life left; answers its reports of attempts. */
  restore(): UsageReport[] {
    const { books, reports } = this.#options.file.load();
    for (const { session, state } of books) {
      const book = new IntervalBook(shifted(state, -this.#aheadMs));
      if (book.size > 0) this.#before.push({ session, book });
    }
    return reports;
  }

  /** Closes an interval every minute from now on. */
  start(): void {
    this.#closeLater();
    if (this.#before.length > 0) void this.#send();
  }

  /** Closes the interval, and tells all. Resolves when that is done, or has failed. */
  async close(): Promise<void> {
    this.#isDue = true;
    this.#closeInterval();
    await this.#send();
  }

  /** The edge was just heard of. */
  retryNow(): void {
    if (this.#isDue || this.#before.length > 0) void this.#send();
  }

  /** The last interval; `limitMs`: how long the edge may take. What it does not take stays on disk. */
  async end(limitMs: number): Promise<void> {
    this.#cancel();
    await Promise.race([this.close(), new Promise<void>((resolve) => this.#options.clock.after(limitMs, resolve))]);
    this.#keep();
  }

  /** How much the wall clock is ahead of the pool's own. */
  get #aheadMs(): number {
    return this.#options.wallMs() - this.#options.clock.nowMs();
  }

  #closeLater(): void {
    this.#cancel = this.#options.clock.after(CLOSE_EVERY_MS, () => {
      this.#closeInterval();
      if (this.#isDue) void this.#send();
      this.#closeLater();
    });
  }

  #closeInterval(): void {
    const { instances, busyUs, clock } = this.#options;
    // First: what passes between the two is in this interval.
    const busy = busyUs();
    const closed = instances.close();
    const wasUsed = busy !== this.#busyUs || closed.some(({ phase }) => phase === "setup");
    this.#busyUs = busy;
    if (wasUsed || clock.nowMs() - this.#sentAtMs >= SEND_EVERY_MS) this.#isDue = true;
    const aheadMs = this.#aheadMs;
    this.#book.add(closed, (ms) => Math.floor((ms + aheadMs) / HOUR_MS));
    this.#keep();
  }

  /** Sends all, or waits for who does. */
  #send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = null));
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    while (await this.#sendNext());
  }

  /** Whether there may be more, and the edge takes it. */
  async #sendNext(): Promise<boolean> {
    const [oldest] = this.#before;
    const { session, book } = oldest ?? { session: this.#options.session, book: this.#book };
    const next = book.next();
    if (next === null) {
      if (this.#before.shift() !== undefined) return true;
      this.#isDue = false;
      this.#sentAtMs = this.#options.clock.nowMs();
      return false;
    }
    if (!(await this.#take(session, next))) return false;
    book.settle();
    this.#keep();
    return true;
  }

  /** Whether the edge has these now, or will never have them. */
  async #take(session: string, { from, intervals }: Numbered): Promise<boolean> {
    const { http, clock, onRefused } = this.#options;
    const nowMs = clock.nowMs();
    const body: IntervalsRequest = { session, from, intervals: intervals.map((interval) => told(interval, nowMs)) };
    try {
      const reply = await http.json({
        method: "POST",
        path: "/pool/v1/usage",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        timeoutMs: SEND_TIMEOUT_MS,
      });
      return IntervalsReplySchema.safeParse(reply).success;
    } catch (error) {
      if (error instanceof TransportError || (error instanceof StatusError && mayTakeLater(error))) return false;
      onRefused(error instanceof Error ? error.message : String(error));
      return true;
    }
  }

  #keep(): void {
    const { file, session, reports } = this.#options;
    const books = [...this.#before, { session, book: this.#book }].map(({ session: whose, book }) => ({
      session: whose,
      state: shifted(book.state, this.#aheadMs),
    }));
    file.keep({ books, reports: reports() });
  }
}

/** An edge of the release before knows no intervals, and may be replaced by one that does; a token may be changed. */
function mayTakeLater(error: StatusError): boolean {
  return error.mayHeal || error.status === 404 || error.status === 401;
}

function told({ model, fromMs, toMs, ...interval }: Interval, nowMs: number): IntervalsRequest["intervals"][number] {
  return {
    ...interval,
    model: model === null ? null : `${model.owner}/${model.name}`,
    version: model === null ? null : model.version,
    endedMsAgo: Math.max(0, Math.round(nowMs - toMs)),
    lengthMs: Math.max(0, Math.round(toMs - fromMs)),
  };
}

/** The same by another clock. */
function shifted({ from, intervals, unsent }: BookState, byMs: number): BookState {
  const shift = (some: readonly Interval[]): Interval[] =>
    some.map((one) => ({ ...one, fromMs: one.fromMs + byMs, toMs: one.toMs + byMs }));
  return { from, intervals: shift(intervals), unsent: shift(unsent) };
}
