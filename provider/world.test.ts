/**
 * The reconciler in a world of its own, minute by minute: a provider whose answers are slow, lost, late or lies, and an
 * edge that changes its mind, is away, or loses the service. Whatever happens, no machine of a name is asked for while
 * another create of it may still come true, nothing of anybody else is touched, and a quiet minute brings what there is
 * to what is desired.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { DesiredMachine } from "../src/contract/provider.ts";
import { namesWith } from "./names.ts";
import { ProviderError } from "./provider.ts";
import type { Seen } from "./provider.ts";
import { defaultTimes, Reconciler } from "./reconciler.ts";
import type { Action } from "./reconciler.ts";

const STEP_MS = 500;
/** A create that was not answered comes true so much later at most, and a list shows what is so much later. */
const LATE_MS = 20_000;
const QUIET_MS = 180_000;
const MACHINES = 4;
const names = namesWith("edgeplane-");
const idOf = (number: number) => `m00000000000${number}`;

const outcomes = ["made", "made late", "sold out", "too many", "failed", "failed, made late", "timeout"] as const;
type Outcome = (typeof outcomes)[number];
type Event =
  | { type: "desire"; number: number; state: "running" | "gone" | "nothing" }
  | { type: "create"; outcome: Outcome; afterMs: number }
  | { type: "list"; fails: boolean; afterMs: number }
  | { type: "destroy"; outcome: "done" | "failed" | "lie"; afterMs: number }
  | { type: "sync"; afterMs: number }
  | { type: "away"; forMs: number }
  | { type: "restart" }
  | { type: "vanish"; number: number }
  | { type: "wait"; ms: number };

const delay = fc.integer({ min: 0, max: 8000 });
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({
    type: fc.constant("desire" as const),
    number: fc.integer({ min: 0, max: MACHINES - 1 }),
    state: fc.constantFrom("running" as const, "running" as const, "gone" as const, "nothing" as const),
  }),
  fc.record({ type: fc.constant("create" as const), outcome: fc.constantFrom(...outcomes), afterMs: delay }),
  fc.record({ type: fc.constant("list" as const), fails: fc.boolean(), afterMs: delay }),
  fc.record({
    type: fc.constant("destroy" as const),
    outcome: fc.constantFrom("done" as const, "failed" as const, "lie" as const),
    afterMs: delay,
  }),
  fc.record({ type: fc.constant("sync" as const), afterMs: delay }),
  fc.record({ type: fc.constant("away" as const), forMs: fc.integer({ min: 1000, max: 90_000 }) }),
  fc.record({ type: fc.constant("restart" as const) }),
  fc.record({ type: fc.constant("vanish" as const), number: fc.integer({ min: 0, max: MACHINES - 1 }) }),
  fc.record({ type: fc.constant("wait" as const), ms: fc.integer({ min: 500, max: 60_000 }) }),
);

class World {
  now = 0;
  readonly wrongs: string[] = [];
  readonly there: Seen[] = [
    { providerId: "theirs-1", name: "edgeplane-web", offer: null, state: "running", createdAtMs: 0 },
    { providerId: "theirs-2", name: `my-edgeplane-${idOf(0)}`, offer: null, state: "running", createdAtMs: 0 },
  ];
  readonly #later: { atMs: number; run: () => void }[] = [];
  readonly #desired = new Map<string, "running" | "gone">();
  /** Until when a create of a name may still come true. */
  readonly #mayComeTrueMs = new Map<string, number>();
  readonly #vanished = new Set<string>();
  #creates: Extract<Event, { type: "create" }>[] = [];
  #lists: Extract<Event, { type: "list" }>[] = [];
  #destroys: Extract<Event, { type: "destroy" }>[] = [];
  #syncs: Extract<Event, { type: "sync" }>[] = [];
  #awayUntilMs = 0;
  #life = 0;
  #made = 0;
  #isSyncing = false;
  #reconciler = this.#service();

  #service(): Reconciler {
    return new Reconciler({ name: "test", kind: "test", names, times: defaultTimes });
  }

  happen(what: Event): void {
    if (what.type === "desire") this.#desire(idOf(what.number), what.state);
    else if (what.type === "create") this.#creates.push(what);
    else if (what.type === "list") this.#lists.push(what);
    else if (what.type === "destroy") this.#destroys.push(what);
    else if (what.type === "sync") this.#syncs.push(what);
    else if (what.type === "away") this.#awayUntilMs = this.now + what.forMs;
    else if (what.type === "vanish") this.#vanish(idOf(what.number));
    else if (what.type === "wait") this.pass(what.ms);
    else this.#restart();
  }

  /** Nothing goes wrong any more. */
  calm(): void {
    this.#creates = [];
    this.#lists = [];
    this.#destroys = [];
    this.#syncs = [];
    this.#awayUntilMs = 0;
  }

  pass(ms: number): void {
    for (const untilMs = this.now + ms; this.now < untilMs; this.now += STEP_MS) {
      const due = this.#later.filter(({ atMs }) => atMs <= this.now);
      for (const one of due) {
        this.#later.splice(this.#later.indexOf(one), 1);
        one.run();
      }
      this.#sync();
      for (const action of this.#reconciler.due(this.now).actions) this.#carryOut(action);
    }
  }

  get running(): string[] {
    return [...this.#desired].flatMap(([machine, state]) =>
      state === "running" && !this.#vanished.has(machine) ? [names.nameOf(machine)] : [],
    );
  }

  /** An id is used once: what is gone never comes back. */
  #desire(machine: string, state: "running" | "gone" | "nothing"): void {
    const before = this.#desired.get(machine);
    if (state === "running" && (before !== undefined || this.#vanished.has(machine))) return;
    if (state !== "running" && before === undefined) return;
    if (state === "nothing") this.#desired.delete(machine);
    else this.#desired.set(machine, state);
    if (state !== "running") this.#vanished.add(machine);
  }

  #vanish(machine: string): void {
    const index = this.there.findIndex(({ name }) => name === names.nameOf(machine));
    if (index === -1) return;
    this.there.splice(index, 1);
    this.#vanished.add(machine);
    this.#desired.delete(machine);
  }

  #restart(): void {
    this.#life += 1;
    this.#isSyncing = false;
    this.#reconciler = this.#service();
  }

  /** Runs `act` later, unless the service that it is for is gone by then. */
  #forService(afterMs: number, act: (reconciler: Reconciler) => void): void {
    const life = this.#life;
    const run = (): void => {
      if (life === this.#life) act(this.#reconciler);
    };
    this.#later.push({ atMs: this.now + afterMs, run });
  }

  #sync(): void {
    if (this.#isSyncing || this.now < this.#awayUntilMs) return;
    this.#isSyncing = true;
    const askedMs = this.now;
    this.#forService(this.#syncs.shift()?.afterMs ?? 0, (reconciler) => {
      this.#isSyncing = false;
      const desired = [...this.#desired].map(([machine, state]): DesiredMachine => {
        const order = { offer: "small", hardware: "cpu", name: names.nameOf(machine), poolToken: "t" };
        return { machine, state, ...order, edgeUrl: "http://edge", lanes: [] };
      });
      reconciler.heard({ known: "k", nowMs: this.now, desired, checkAgainMs: 1000 }, askedMs, this.now);
    });
  }

  #carryOut(action: Action): void {
    if (action.type === "offers") this.#forService(0, (one) => one.offered([], null, this.now));
    else if (action.type === "list") this.#list();
    else if (action.type === "create") this.#create(action.order.machine, action.order.name);
    else this.#destroy(action.providerId);
  }

  #list(): void {
    const startedMs = this.now;
    const { fails, afterMs } = this.#lists.shift() ?? { fails: false, afterMs: 0 };
    const shown = this.there.map((seen) => ({ ...seen }));
    this.#forService(afterMs, (reconciler) => {
      if (fails) reconciler.failedToList(new ProviderError("ambiguous", "500"), this.now);
      else reconciler.listed(shown, startedMs, this.now);
    });
  }

  #create(machine: string, name: string): void {
    if (this.now <= (this.#mayComeTrueMs.get(name) ?? -1)) this.wrongs.push(`${name} is asked for while it may come`);
    const { outcome, afterMs } = this.#creates.shift() ?? { outcome: "made", afterMs: 0 };
    const providerId = `i-${(this.#made += 1)}`;
    const make = (): void => {
      this.there.push({ providerId, name, offer: null, state: "running", createdAtMs: this.now });
    };
    const answer = (reason: ProviderError["reason"]) =>
      this.#forService(afterMs, (one) => one.failedToCreate(machine, new ProviderError(reason, outcome), this.now));
    const comesLate = outcome.endsWith("late") || outcome === "timeout";
    this.#mayComeTrueMs.set(name, this.now + afterMs + (comesLate ? LATE_MS : 0));
    if (comesLate) this.#later.push({ atMs: this.now + afterMs + LATE_MS, run: make });
    if (outcome === "made") make();
    if (outcome === "made" || outcome === "made late")
      this.#forService(afterMs, (one) => one.created(machine, providerId, this.now, this.now));
    else if (outcome === "sold out") answer("sold_out");
    else if (outcome === "too many") answer("rate_limited");
    else answer(outcome === "timeout" ? "timeout" : "ambiguous");
  }

  #destroy(providerId: string): void {
    if (providerId.startsWith("theirs")) this.wrongs.push(`${providerId} is returned`);
    const { outcome, afterMs } = this.#destroys.shift() ?? { outcome: "done", afterMs: 0 };
    if (outcome === "done") {
      const index = this.there.findIndex((seen) => seen.providerId === providerId);
      if (index !== -1) this.there.splice(index, 1);
    }
    this.#forService(afterMs, (one) => {
      if (outcome === "failed") one.failedToReturn(providerId, new ProviderError("ambiguous", "500"), this.now);
      else one.returned(providerId, this.now);
    });
  }
}

it("comes to what is desired, whatever happened, and asks for nothing twice", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const world = new World();
      for (const what of events) world.happen(what);
      world.calm();
      world.pass(QUIET_MS);
      const ours = world.there.filter(({ providerId }) => !providerId.startsWith("theirs"));
      expect(ours.map(({ name }) => name).toSorted()).toStrictEqual(world.running.toSorted());
      expect(world.wrongs).toStrictEqual([]);
      expect(world.there).toHaveLength(ours.length + 2);
    }),
    { numRuns: 300 },
  );
});
