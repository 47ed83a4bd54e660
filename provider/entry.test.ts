import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { DesiredMachine } from "../src/contract/provider.ts";
import { edgeAt } from "./edge.ts";
import { Entry } from "./entry.ts";
import { namesWith } from "./names.ts";
import { ProviderError } from "./provider.ts";
import type { Order, Provider, Seen } from "./provider.ts";
import { defaultTimes, Reconciler } from "./reconciler.ts";
import { TestEdge } from "./test-edge.ts";

const A = "m0123456789ab";
const names = namesWith("edgeplane-");

/** A provider in memory. */
class TestCloud implements Provider {
  readonly kind = "test";
  machines: Seen[] = [];
  orders: Order[] = [];
  /** What the next creates throw instead of making a machine. */
  refusals: ProviderError[] = [];
  left = 100e9;

  offers() {
    const price = { pricePerHourNano: 1e9, currency: "USD", billingIncrementS: 1 };
    return Promise.resolve([{ id: "small", hardware: "cpu", devices: 1, ...price, spot: false, available: null }]);
  }
  list = () => Promise.resolve(this.machines);
  create(order: Order): Promise<string> {
    this.orders.push(order);
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return Promise.reject(refusal);
    const providerId = `i-${this.orders.length}`;
    this.machines = [...this.machines, { providerId, name: order.name, offer: null, state: "running", createdAtMs: 1 }];
    return Promise.resolve(providerId);
  }
  destroy(providerId: string): Promise<void> {
    this.machines = this.machines.filter((machine) => machine.providerId !== providerId);
    return Promise.resolve();
  }
  balance = () => Promise.resolve({ nano: this.left, currency: "USD" });
}

const wanted = (changes: Partial<DesiredMachine> = {}): DesiredMachine => ({
  machine: A,
  state: "running",
  offer: "small",
  hardware: "cpu",
  name: `edgeplane-${A}`,
  poolToken: "epp_token",
  edgeUrl: "http://edge",
  lanes: ["default"],
  ...changes,
});

let edge: TestEdge;
let cloud: TestCloud;
let entry: Entry;
let refused: string[];
let lines: string[];

async function start(token = "epv_test"): Promise<void> {
  const times = { ...defaultTimes, settleMs: 200, listMs: 100, busyListMs: 20, soonListMs: 5, offersMs: 50 };
  const reconciler = new Reconciler({ name: "test-a", kind: "test", names, times });
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  const onRefused = (why: string) => void refused.push(why);
  const url = await edge.start();
  const instance = { id: "one", replaces: "zero" };
  const told = { log, instance, lowBalanceNano: 10e9, onRefused };
  entry = new Entry({ provider: cloud, reconciler, edge: edgeAt(url, token), ...told });
  entry.start();
}

beforeEach(() => {
  edge = new TestEdge();
  cloud = new TestCloud();
  refused = [];
  lines = [];
});
afterEach(async () => {
  await entry.stop();
  await edge.stop();
});

it("tells what there is, makes what is desired, and returns what isn't any more", async () => {
  await start();
  await expect.poll(() => edge.last).toMatchObject({ provider: "test-a", offers: [{ id: "small" }], complete: true });
  edge.desire([wanted()]);
  await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A, offer: "small", state: "running" }]);
  edge.desire([wanted({ state: "gone" })]);
  await expect.poll(() => cloud.machines).toStrictEqual([]);
  await expect.poll(() => edge.last?.machines).toStrictEqual([]);
  expect(cloud.orders).toHaveLength(1);
});

it("returns an orphan that appears while a sync is held", async () => {
  await start();
  await expect.poll(() => edge.last?.known).toBeDefined();
  cloud.machines = [{ providerId: "i-x", name: `edgeplane-${A}`, offer: null, state: "running", createdAtMs: 1 }];
  await expect.poll(() => cloud.machines).toStrictEqual([]);
  await expect.poll(() => edge.last?.orphansReturned).toBe(1);
});

it("tells a refusal at once, and tries again when it is over", async () => {
  cloud.refusals = [new ProviderError("sold_out", "none left", 300)];
  await start();
  edge.desire([wanted()]);
  await expect.poll(() => edge.last?.refused).toMatchObject([{ machine: A, reason: "sold_out" }]);
  await expect.poll(() => edge.last?.machines).toHaveLength(1);
  expect(edge.last?.refused).toStrictEqual([]);
});

it("leaves all as it is while the edge is away, and goes on when it is back", async () => {
  await start();
  edge.desire([wanted()]);
  await expect.poll(() => cloud.machines).toHaveLength(1);
  edge.refuses = 503;
  edge.desire([]);
  await expect.poll(() => lines.join("")).toContain("no answer of the edge");
  expect(cloud.machines).toHaveLength(1);
  edge.refuses = null;
  await expect.poll(() => cloud.machines).toStrictEqual([]);
  expect(refused).toStrictEqual([]);
});

it("rests while an edge answers at once that nothing is new, and tells news all the same", async () => {
  edge.holds = false;
  await start();
  await expect.poll(() => edge.last?.known).toBeDefined();
  const before = edge.syncs.length;
  cloud.machines = [{ providerId: "i-x", name: `edgeplane-${A}`, offer: null, state: "running", createdAtMs: 1 }];
  await expect.poll(() => edge.last?.orphansReturned).toBe(1);
  expect(edge.syncs.length - before).toBeLessThan(10);
});

it("asks an edge that rests once a minute, and at once when its socket says so or is lost", async () => {
  edge.rests = true;
  await start();
  await expect.poll(() => edge.listeners).toBe(1);
  let asked = 0;
  const rests = (): boolean => {
    const before = asked;
    asked = edge.syncs.length;
    return asked > 0 && asked === before;
  };
  for (const state of ["running", "gone"] as const) {
    await expect.poll(rests, { interval: 300 }).toBe(true);
    edge.desire([wanted({ state })]);
    await expect.poll(() => cloud.machines).toHaveLength(state === "running" ? 1 : 0);
  }
  const before = edge.syncs.length;
  edge.drop();
  await expect.poll(() => edge.syncs.length).toBeGreaterThan(before);
  await expect.poll(() => edge.listeners).toBe(1);
});

it("makes nothing while another service speaks for its entry, and takes its place when it may", async () => {
  cloud.refusals = [new ProviderError("sold_out", "none left", 200)];
  await start();
  edge.desire([wanted()]);
  await expect.poll(() => cloud.orders).toHaveLength(1);
  edge.refuses = 409;
  edge.desire([wanted()]);
  await expect.poll(() => lines.join("")).toContain("another service speaks for this entry");
  // Half a second later it would have tried again.
  await expect.poll(() => edge.refusals).toBeGreaterThan(2);
  edge.refuses = null;
  edge.desire([wanted({ machine: "m0123456789ac", name: "edgeplane-m0123456789ac" })]);
  await expect.poll(() => cloud.machines).toHaveLength(1);
  expect(cloud.orders.filter(({ machine }) => machine === A).length).toBeLessThan(2);
  expect(refused).toStrictEqual([]);
});

it("names itself, and the one whose place it takes until it was let in; and says that it leaves", async () => {
  await start();
  await expect.poll(() => edge.last?.known).toBeDefined();
  expect(edge.syncs[0]).toMatchObject({ instance: "one", replaces: "zero" });
  expect(edge.last).toMatchObject({ instance: "one" });
  expect(edge.last?.replaces).toBeUndefined();
  await entry.stop();
  expect(edge.last).toMatchObject({ instance: "one", isLeaving: true });
});

it("says so when the edge refuses the service before it ever answered", async () => {
  edge.refuses = 401;
  await start();
  await expect.poll(() => refused).toStrictEqual(["the edge answered 401: this is a test"]);
});

it("tells the balance, and warns of a low one once", async () => {
  cloud.left = 9e9;
  await start();
  await expect.poll(() => edge.last?.balance).toStrictEqual({ nano: 9e9, currency: "USD" });
  cloud.left = 8e9;
  await expect.poll(() => edge.last?.balance?.nano).toBe(8e9);
  expect(lines.filter((line) => line.includes("balance is low"))).toHaveLength(1);
});

it("offers all the same what it has while the balance can't be read", async () => {
  cloud.balance = () => Promise.reject(new ProviderError("ambiguous", "it answered 500"));
  await start();
  await expect.poll(() => edge.last?.offers).toMatchObject([{ id: "small" }]);
  expect(edge.last?.problem).toBeUndefined();
  expect(lines.join("")).toContain("the balance could not be read");
});

it("writes no token into its log", async () => {
  cloud.refusals = [new ProviderError("refused", "no")];
  await start("epv_secret");
  edge.desire([wanted()]);
  await expect.poll(() => edge.last?.refused).toHaveLength(1);
  expect(lines.join("")).not.toMatch(/epv_secret|epp_token/);
});
