/**
 * Brings what there is at one provider to what the edge desires. Level-triggered and pure: it hears what the edge and
 * the provider said, and `due` says what to do now and when to ask again. Times are milliseconds of a clock that never
 * goes back; what happened between two lists is nobody's business.
 *
 * - Nothing is made or returned before the edge has answered once, nor before a list was read since a machine was first
 *   heard of: a service that starts again finds what it had made. What was desired when it started it may have asked
 * for
 *   just before, so that settles first.
 * - At most one create a machine is under way, and none while an answer that said nothing settles (`attempts.ts`).
 * - What bears a name of ours and isn't desired is an orphan, a second one of a name a duplicate. An orphan is returned
 *   only when the edge was asked since it was seen, so that the edge's latest word is what counts.
 * - What was returned and is in the list all the same after `settleMs` is returned again.
 */
import { OfferSchema, PROVIDER_PROTOCOL } from "../src/contract/provider.ts";
import type { DesiredMachine, Offer, SyncReply, SyncRequest } from "../src/contract/provider.ts";
import { Attempts } from "./attempts.ts";
import type { AttemptTimes } from "./attempts.ts";
import { Errands } from "./errands.ts";
import type { Names } from "./names.ts";
import type { Balance, Order, ProviderError, Seen } from "./provider.ts";
import { choose, machinesOf, ownMachines } from "./seen.ts";

export type Why = "gone" | "orphan" | "duplicate" | "ended";

export type Action =
  | { type: "list" }
  | { type: "offers" }
  | { type: "create"; order: Order }
  | { type: "destroy"; providerId: string; name: string; why: Why };

export type ReconcilerTimes = AttemptTimes & {
  /** How often the list is read: while nothing is under way, while something is, and after what it must show. */
  listMs: number;
  busyListMs: number;
  soonListMs: number;
  /** How often offers are asked for. */
  offersMs: number;
  /** Creates under way at once. */
  maxCreates: number;
};

export const defaultTimes: ReconcilerTimes = {
  settleMs: 30_000,
  refusedMs: 60_000,
  listMs: 30_000,
  busyListMs: 5_000,
  soonListMs: 2_000,
  offersMs: 60_000,
  maxCreates: 4,
};

const MAX_OFFERS = 500;
const MAX_PROBLEM_CHARS = 500;

export class Reconciler {
  readonly #name: string;
  readonly #kind: string;
  readonly #expected: Pick<SyncRequest, "expectedBootS">;
  readonly #names: Names;
  readonly #times: ReconcilerTimes;
  readonly #attempts: Attempts;
  readonly #lists: Errands;
  readonly #offerCalls: Errands;
  #reply: { asked: number; heardMs: number; nowMs: number; desired: Map<string, DesiredMachine> } | null = null;
  /** A list that began then shows what was made of each desired machine before it was heard of. */
  readonly #heardMs = new Map<string, number>();
  /** When each machine at the provider was first seen. */
  readonly #firstSeenMs = new Map<string, number>();
  #list: { startedMs: number; own: Seen[] } | null = null;
  #offers: Offer[] = [];
  #balance: Balance | null = null;
  #quietUntilMs = 0;
  /** Returns that are under way (null), and those acknowledged, with the time; and when to try again what failed. */
  readonly #returns = new Map<string, number | null>();
  readonly #returnAgainMs = new Map<string, number>();
  /** Machines at the provider that are counted as orphans or duplicates. */
  readonly #counted = new Set<string>();
  #orphansReturned = 0;
  #duplicatesReturned = 0;

  constructor(options: { name: string; kind: string; names: Names; times: ReconcilerTimes; expectedBootS?: number }) {
    this.#name = options.name;
    this.#kind = options.kind;
    this.#names = options.names;
    this.#expected = options.expectedBootS === undefined ? {} : { expectedBootS: options.expectedBootS };
    this.#times = options.times;
    this.#attempts = new Attempts(options.times);
    this.#lists = new Errands(options.times.soonListMs);
    this.#offerCalls = new Errands(options.times.offersMs);
  }

  /** The edge answered a sync that was begun at `askedMs`. */
  heard(reply: SyncReply, askedMs: number, nowMs: number): void {
    const desired = new Map(reply.desired.map((machine) => [machine.machine, machine]));
    const isFirst = this.#reply === null;
    this.#reply = { asked: askedMs, heardMs: nowMs, nowMs: reply.nowMs, desired };
    for (const machine of desired.keys()) {
      if (this.#heardMs.has(machine)) continue;
      this.#heardMs.set(machine, isFirst ? nowMs + this.#times.settleMs : nowMs);
      this.#lists.askSoon();
    }
    for (const machine of this.#heardMs.keys()) if (!desired.has(machine)) this.#heardMs.delete(machine);
    this.#attempts.keepOnly(new Set(desired.keys()));
  }

  /** Another service speaks for this entry: nothing is made or returned until the edge answers again. */
  superseded(): void {
    this.#reply = null;
  }

  listed(seen: readonly Seen[], startedMs: number, nowMs: number): void {
    this.#lists.succeeded(nowMs);
    const own = ownMachines(seen, this.#names);
    this.#list = { startedMs, own };
    const ids = new Set(own.map(({ providerId }) => providerId));
    for (const id of ids) if (!this.#firstSeenMs.has(id)) this.#firstSeenMs.set(id, nowMs);
    for (const known of [this.#firstSeenMs, this.#returnAgainMs, this.#counted])
      for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
    for (const [id, atMs] of this.#returns) {
      if (atMs === null || startedMs < atMs) continue;
      if (!ids.has(id) || startedMs >= atMs + this.#times.settleMs) this.#returns.delete(id);
    }
    this.#attempts.listed(startedMs, choose(own, this.#names).kept);
  }

  offered(offers: readonly Offer[], balance: Balance | null, nowMs: number): void {
    this.#offerCalls.succeeded(nowMs);
    // One that breaks the contract would have the edge refuse all that is told with it.
    this.#offers = offers.filter((offer) => OfferSchema.safeParse(offer).success).slice(0, MAX_OFFERS);
    this.#balance = balance;
  }

  failedToList(error: ProviderError, nowMs: number): void {
    this.#lists.failed(error, nowMs);
    this.#heed(error, nowMs);
  }

  failedToOffer(error: ProviderError, nowMs: number): void {
    this.#offerCalls.failed(error, nowMs);
    this.#heed(error, nowMs);
  }

  created(machine: string, providerId: string, wallMs: number, nowMs: number): void {
    this.#attempts.made(machine, providerId, wallMs, nowMs);
    this.#lists.askSoon();
  }

  failedToCreate(machine: string, error: ProviderError, nowMs: number): void {
    this.#attempts.failed(machine, error, nowMs);
    this.#heed(error, nowMs);
    // A list that is read only now may show what the create did.
    this.#lists.askSoon();
  }

  returned(providerId: string, nowMs: number): void {
    this.#returns.set(providerId, nowMs);
    this.#lists.askSoon();
  }

  failedToReturn(providerId: string, error: ProviderError, nowMs: number): void {
    this.#returns.delete(providerId);
    this.#returnAgainMs.set(providerId, nowMs + (error.retryAfterMs ?? this.#times.busyListMs));
    this.#heed(error, nowMs);
    this.#lists.askSoon();
  }

  /** Whether a machine was seen that the edge hasn't been asked about: its answer is wanted at once. */
  get hasQuestion(): boolean {
    const own = this.#list?.own ?? [];
    return own.some((seen) => {
      const machine = this.#names.machineOf(seen.name);
      return machine !== null && this.#reply?.desired.has(machine) !== true && !this.#wasAskedAbout(seen);
    });
  }

  /** What is to be done now; it counts as begun. And when to ask again, though nothing is heard. */
  due(nowMs: number): { actions: Action[]; wakeAtMs: number } {
    if (nowMs < this.#quietUntilMs) return { actions: [], wakeAtMs: this.#quietUntilMs };
    const actions = [...this.#returnsDue(nowMs), ...this.#createsDue(nowMs)];
    const listMs = this.#isBusy ? this.#times.busyListMs : this.#times.listMs;
    if (this.#lists.begin(nowMs, listMs)) actions.push({ type: "list" });
    if (this.#offerCalls.begin(nowMs, this.#times.offersMs)) actions.push({ type: "offers" });
    const wakeAtMs = Math.min(
      this.#lists.nextMs(listMs),
      this.#offerCalls.nextMs(this.#times.offersMs),
      this.#attempts.nextMs(nowMs),
      this.#notBeforeMs(nowMs),
    );
    return { actions, wakeAtMs };
  }

  /** What the edge is told, but for what it is to be held open for. */
  report(): SyncRequest {
    const problem = this.#lists.problem ?? this.#offerCalls.problem;
    return {
      protocol: PROVIDER_PROTOCOL,
      provider: this.#name,
      kind: this.#kind,
      ...this.#expected,
      offers: this.#offers,
      machines: machinesOf({
        own: this.#list?.own ?? [],
        names: this.#names,
        isReturned: (providerId) => this.#returns.has(providerId),
        offerOf: (machine) => {
          const attempt = this.#attempts.of(machine);
          return attempt !== null && "offer" in attempt ? attempt.offer : null;
        },
        unlisted: this.#attempts.unlisted(),
      }),
      refused: this.#attempts.refusals(),
      orphansReturned: this.#orphansReturned,
      duplicatesReturned: this.#duplicatesReturned,
      ...(this.#balance === null ? {} : { balance: this.#balance }),
      complete: this.#list !== null && this.#lists.problem === null,
      ...(problem === null ? {} : { problem: problem.slice(0, MAX_PROBLEM_CHARS) }),
    };
  }

  get #isBusy(): boolean {
    const inMotion = this.#list?.own.some(({ state }) => state !== "running") ?? false;
    return this.#reply !== null && (inMotion || this.#attempts.isUnsettled || this.#returns.size > 0);
  }

  #returnsDue(nowMs: number): Action[] {
    if (this.#list === null || this.#reply === null) return [];
    const { kept, spare } = choose(this.#list.own, this.#names);
    const due: [Seen, Why][] = spare.map((seen) => [seen, seen.state === "ended" ? "ended" : "duplicate"]);
    for (const [machine, seen] of kept) {
      const desired = this.#reply.desired.get(machine);
      const isAsking = this.#attempts.of(machine)?.state === "asking";
      if (seen.state === "ended") due.push([seen, "ended"]);
      else if (desired?.state === "gone") due.push([seen, "gone"]);
      else if (desired === undefined && !isAsking && this.#wasAskedAbout(seen)) due.push([seen, "orphan"]);
    }
    return due.flatMap(([{ providerId, name }, why]): Action[] => {
      if (this.#returns.has(providerId) || nowMs < (this.#returnAgainMs.get(providerId) ?? 0)) return [];
      this.#returns.set(providerId, null);
      this.#count(providerId, why);
      return [{ type: "destroy", providerId, name, why }];
    });
  }

  #count(providerId: string, why: Why): void {
    if (this.#counted.has(providerId)) return;
    if (why === "orphan") this.#orphansReturned += 1;
    else if (why === "duplicate") this.#duplicatesReturned += 1;
    else return;
    this.#counted.add(providerId);
  }

  #wasAskedAbout({ providerId }: Seen): boolean {
    return this.#reply !== null && this.#reply.asked >= (this.#firstSeenMs.get(providerId) ?? Infinity);
  }

  #createsDue(nowMs: number): Action[] {
    if (this.#list === null || this.#reply === null) return [];
    const there = choose(this.#list.own, this.#names).kept;
    const actions: Action[] = [];
    for (const [machine, desired] of this.#reply.desired) {
      const { offer, poolToken, hardware, edgeUrl, lanes, notBeforeMs = 0 } = desired;
      if (desired.state !== "running" || offer === undefined || poolToken === undefined) continue;
      if (there.has(machine) || this.#list.startedMs < (this.#heardMs.get(machine) ?? Infinity)) continue;
      if (notBeforeMs > this.#edgeMs(nowMs) || !this.#attempts.allows(machine, offer, nowMs)) continue;
      if (this.#attempts.asking >= this.#times.maxCreates) break;
      this.#attempts.ask(machine, offer);
      const name = this.#names.nameOf(machine);
      actions.push({ type: "create", order: { name, machine, offer, hardware, edgeUrl, poolToken, lanes } });
    }
    return actions;
  }

  #edgeMs(nowMs: number): number {
    return this.#reply === null ? 0 : this.#reply.nowMs + (nowMs - this.#reply.heardMs);
  }

  #notBeforeMs(nowMs: number): number {
    const desired = [...(this.#reply?.desired.values() ?? [])];
    const waits = desired.map(({ notBeforeMs = 0 }) => notBeforeMs - this.#edgeMs(nowMs)).filter((wait) => wait > 0);
    return nowMs + Math.min(Infinity, ...waits);
  }

  #heed(error: ProviderError, nowMs: number): void {
    if (error.reason !== "rate_limited") return;
    this.#quietUntilMs = Math.max(this.#quietUntilMs, nowMs + (error.retryAfterMs ?? this.#times.busyListMs));
  }
}
