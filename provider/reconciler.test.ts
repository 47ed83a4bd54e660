import { describe, expect, it } from "vitest";
import { SyncRequestSchema } from "../src/contract/provider.ts";
import type { DesiredMachine } from "../src/contract/provider.ts";
import { namesWith } from "./names.ts";
import { ProviderError } from "./provider.ts";
import type { Seen } from "./provider.ts";
import { defaultTimes, Reconciler } from "./reconciler.ts";
import type { Action } from "./reconciler.ts";

const A = "m0123456789ab";
const B = "m0123456789ac";
const names = namesWith("edgeplane-");
const { settleMs, listMs, refusedMs } = defaultTimes;

const wanted = (machine: string, changes: Partial<DesiredMachine> = {}): DesiredMachine => ({
  machine,
  state: "running",
  offer: "small",
  hardware: "cpu",
  name: `edgeplane-${machine}`,
  poolToken: "epp_token",
  edgeUrl: "http://edge",
  lanes: ["default"],
  ...changes,
});
const seen = (machine: string, providerId: string, changes: Partial<Seen> = {}): Seen => ({
  providerId,
  name: `edgeplane-${machine}`,
  offer: "small",
  state: "running",
  createdAtMs: 1,
  ...changes,
});

/** A reconciler, and a hand on its clock. */
function start(desired: DesiredMachine[] | null, first: Seen[] | null = [], before: DesiredMachine[] | null = []) {
  let now = 0;
  const reconciler = new Reconciler({ name: "test", kind: "test", names, times: defaultTimes });
  const self = {
    reconciler,
    hear(machines: DesiredMachine[], askedMs = now) {
      const reply = { known: "k", nowMs: 1_000_000 + now, desired: machines, checkAgainMs: 1000 };
      reconciler.heard(reply, askedMs, now);
    },
    /** A list that begins and ends now. */
    list: (machines: Seen[], startedMs = now) => reconciler.listed(machines, startedMs, now),
    pass: (ms: number) => (now += ms),
    now: () => now,
    due: () => reconciler.due(now).actions.filter(({ type }) => type === "create" || type === "destroy"),
    all: () => reconciler.due(now),
    fail: (machine: string, ...error: ConstructorParameters<typeof ProviderError>) =>
      reconciler.failedToCreate(machine, new ProviderError(...error), now),
  };
  if (desired !== null && before !== null) self.hear(before);
  if (desired !== null) self.hear(desired);
  if (first !== null) self.list(first);
  return self;
}

const creates = (actions: Action[]) => actions.flatMap((one) => (one.type === "create" ? [one.order.machine] : []));
const returns = (actions: Action[]) =>
  actions.flatMap((one) => (one.type === "destroy" ? [[one.providerId, one.why]] : []));

describe("what is desired", () => {
  it("is made once, by name, and not again while the create is under way", () => {
    const world = start([wanted(A)]);
    const [create] = world.due();
    expect(create).toMatchObject({ type: "create", order: { name: `edgeplane-${A}`, machine: A, offer: "small" } });
    world.pass(listMs * 10);
    world.list([]);
    expect(world.due()).toStrictEqual([]);
  });

  it("is not made before the edge has answered, nor before a list was read since", () => {
    const silent = start(null);
    expect(silent.due()).toStrictEqual([]);
    const unread = start([wanted(A)], null);
    expect(unread.due()).toStrictEqual([]);
    const old = start([], []);
    old.pass(1);
    old.hear([wanted(A)]);
    expect(old.due()).toStrictEqual([]);
    old.list([]);
    expect(creates(old.due())).toStrictEqual([A]);
  });

  it("is found again by a service that starts anew", () => {
    const world = start([wanted(A)], [seen(A, "i-1", { state: "booting" })]);
    expect(world.due()).toStrictEqual([]);
    expect(world.reconciler.report().machines).toMatchObject([{ machine: A, providerId: "i-1", state: "booting" }]);
  });

  it("settles first, when it was desired before the service started: that one may have asked for it", () => {
    const world = start([wanted(A)], [], null);
    world.pass(settleMs - 1);
    world.list([]);
    expect(world.due()).toStrictEqual([]);
    world.pass(1);
    world.list([]);
    expect(creates(world.due())).toStrictEqual([A]);
  });

  it("has the list read at once, though it was read just now", () => {
    const world = start([], null);
    world.all();
    world.list([]);
    world.pass(defaultTimes.soonListMs);
    expect(world.all().actions).toStrictEqual([]);
    world.hear([wanted(A)]);
    expect(world.all().actions).toContainEqual({ type: "list" });
  });

  it("is told from its acknowledgement on, though no list shows it yet", () => {
    const world = start([wanted(A)]);
    world.due();
    world.reconciler.created(A, "i-1", 77, world.now());
    world.list([]);
    expect(world.reconciler.report().machines).toMatchObject([
      { machine: A, providerId: "i-1", offer: "small", state: "creating", createdAtMs: 77 },
    ]);
    expect(world.due()).toStrictEqual([]);
  });

  it("waits for its time, by the edge's clock", () => {
    const world = start([wanted(A, { notBeforeMs: 1_000_500 })]);
    expect(world.due()).toStrictEqual([]);
    world.pass(500);
    expect(creates(world.due())).toStrictEqual([A]);
  });

  it("is not made without a token, nor without an offer", () => {
    const { poolToken: _, ...connected } = wanted(A);
    const { offer: __, ...undecided } = wanted(B);
    expect(start([connected, undecided]).due()).toStrictEqual([]);
  });

  it("is made four at a time", () => {
    const ids = ["0", "1", "2", "3", "4", "5"].map((last) => `m00000000000${last}`);
    expect(creates(start(ids.map((id) => wanted(id))).due())).toHaveLength(4);
  });
});

describe("a machine that is there", () => {
  it("is told with the notice that its provider gives of taking it back", () => {
    const world = start([wanted(A)], [seen(A, "i-1", { noticeS: 5, host: "h-1" })]);
    expect(world.reconciler.report().machines).toMatchObject([{ machine: A, noticeS: 5, host: "h-1" }]);
  });
});

describe("an answer that says nothing", () => {
  it.each(["ambiguous", "timeout"] as const)("(%s) settles before another try", (reason) => {
    const world = start([wanted(A)]);
    world.due();
    world.fail(A, reason, "the connection was cut");
    expect(world.reconciler.report().refused).toMatchObject([
      { machine: A, reason, message: "the connection was cut" },
    ]);
    world.pass(settleMs - 1);
    world.list([]);
    expect(world.due()).toStrictEqual([]);
    world.pass(1);
    expect(world.due()).toStrictEqual([]);
    world.list([]);
    expect(creates(world.due())).toStrictEqual([A]);
  });

  it("is read from the list, which shows what was made", () => {
    const world = start([wanted(A)]);
    world.due();
    world.fail(A, "timeout", "no answer");
    world.list([seen(A, "i-1", { state: "creating" })]);
    world.pass(settleMs * 2);
    world.list([seen(A, "i-1")]);
    expect(world.due()).toStrictEqual([]);
    expect(world.reconciler.report()).toMatchObject({ refused: [], machines: [{ machine: A, state: "running" }] });
  });
});

describe("a refusal", () => {
  it("holds as long as the provider says, and is told", () => {
    const world = start([wanted(A)]);
    world.due();
    world.fail(A, "sold_out", "none left", 5000);
    expect(world.reconciler.report().refused).toStrictEqual([
      { machine: A, reason: "sold_out", message: "none left", retryAfterMs: 5000 },
    ]);
    world.pass(4999);
    world.list([]);
    expect(world.due()).toStrictEqual([]);
    world.pass(1);
    expect(creates(world.due())).toStrictEqual([A]);
  });

  it("of one offer holds for no other", () => {
    const world = start([wanted(A)]);
    world.due();
    world.fail(A, "sold_out", "none left");
    world.hear([wanted(A, { offer: "large" })]);
    expect(world.due()).toMatchObject([{ order: { offer: "large" } }]);
  });

  it("is forgotten with the machine", () => {
    const world = start([wanted(A)]);
    world.due();
    world.fail(A, "refused", "no money");
    world.hear([]);
    expect(world.reconciler.report().refused).toStrictEqual([]);
    world.pass(refusedMs);
    expect(world.due()).toStrictEqual([]);
  });

  it("for too many calls keeps the service quiet, and the create is tried again", () => {
    const world = start([wanted(A)]);
    world.due();
    world.fail(A, "rate_limited", "slow down", 7000);
    world.pass(6999);
    expect(world.all()).toStrictEqual({ actions: [], wakeAtMs: 7000 });
    world.pass(1);
    expect(creates(world.due())).toStrictEqual([A]);
  });
});

describe("what is not desired", () => {
  it("is returned when the edge says so", () => {
    const world = start([wanted(A, { state: "gone" })], [seen(A, "i-1")]);
    expect(returns(world.due())).toStrictEqual([["i-1", "gone"]]);
    expect(world.due()).toStrictEqual([]);
    expect(world.reconciler.report()).toMatchObject({ machines: [{ state: "stopping" }], orphansReturned: 0 });
  });

  it("is an orphan once the edge was asked about it, and is counted once", () => {
    const world = start([], []);
    world.pass(1);
    world.list([seen(A, "i-1")]);
    expect(world.due()).toStrictEqual([]);
    expect(world.reconciler.hasQuestion).toBe(true);
    world.hear([]);
    expect(world.reconciler.hasQuestion).toBe(false);
    expect(returns(world.due())).toStrictEqual([["i-1", "orphan"]]);
    world.reconciler.returned("i-1", world.now());
    world.pass(settleMs);
    world.list([seen(A, "i-1")]);
    expect(returns(world.due())).toStrictEqual([["i-1", "orphan"]]);
    expect(world.reconciler.report().orphansReturned).toBe(1);
  });

  it("is left alone while the edge hasn't answered", () => {
    expect(start(null, [seen(A, "i-1"), seen(A, "i-2")]).due()).toStrictEqual([]);
  });

  it.each(["web-1", "edgeplane-", "edgeplane-web", `my-edgeplane-${A}`, `edgeplane-${A}-2`, `edgeplane-staging-${A}`])(
    "is never touched where its name is not ours: %s",
    (name) => {
      const world = start([], [seen(A, "i-1", { name })]);
      world.pass(1);
      world.hear([]);
      expect(world.due()).toStrictEqual([]);
      expect(world.reconciler.report().machines).toStrictEqual([]);
    },
  );

  it("is returned where it is there twice: the one that came further stays", () => {
    const twice = [seen(A, "i-1", { state: "booting" }), seen(A, "i-2", { createdAtMs: 2 })];
    const world = start([wanted(A)], twice);
    expect(returns(world.due())).toStrictEqual([["i-1", "duplicate"]]);
    expect(world.reconciler.report().duplicatesReturned).toBe(1);
  });

  it("is returned where nothing runs on it any more, and is told as gone", () => {
    const world = start([wanted(A)], [seen(A, "i-1", { state: "ended" })]);
    expect(returns(world.due())).toStrictEqual([["i-1", "ended"]]);
    expect(world.reconciler.report()).toMatchObject({ machines: [], complete: true });
  });

  it("is returned again where it was said to be gone and isn't", () => {
    const world = start([wanted(A, { state: "gone" })], [seen(A, "i-1")]);
    world.due();
    world.reconciler.returned("i-1", world.now());
    world.pass(settleMs - 1);
    world.list([seen(A, "i-1")]);
    expect(world.due()).toStrictEqual([]);
    world.pass(1);
    world.list([seen(A, "i-1")]);
    expect(returns(world.due())).toStrictEqual([["i-1", "gone"]]);
  });

  it("is tried again when a return failed", () => {
    const world = start([wanted(A, { state: "gone" })], [seen(A, "i-1")]);
    world.due();
    world.reconciler.failedToReturn("i-1", new ProviderError("ambiguous", "no answer"), world.now());
    expect(world.due()).toStrictEqual([]);
    world.pass(defaultTimes.busyListMs);
    expect(returns(world.due())).toStrictEqual([["i-1", "gone"]]);
  });
});

describe("a machine that vanished", () => {
  it("is told as gone, and not made again under its id", () => {
    const world = start([wanted(A)], [seen(A, "i-1")]);
    world.pass(1);
    world.list([]);
    expect(world.reconciler.report()).toMatchObject({ machines: [], complete: true, refused: [{ machine: A }] });
    expect(world.due()).toStrictEqual([]);
  });

  it("that no list ever showed counts as gone once it settled", () => {
    const world = start([wanted(A)]);
    world.due();
    world.reconciler.created(A, "i-1", 1, world.now());
    world.pass(settleMs);
    world.list([]);
    expect(world.reconciler.report().machines).toStrictEqual([]);
    expect(world.due()).toStrictEqual([]);
  });
});

describe("a list that can't be read", () => {
  it("is told, makes nothing gone, and is tried again after pauses that double", () => {
    const world = start([wanted(A)], [seen(A, "i-1")]);
    const pauses: number[] = [];
    world.pass(listMs);
    for (let times = 0; times < 8; times += 1) {
      expect(world.all().actions).toContainEqual({ type: "list" });
      world.reconciler.failedToList(new ProviderError("ambiguous", "it answered 500"), world.now());
      world.reconciler.offered([], null, world.now());
      const { wakeAtMs } = world.all();
      pauses.push(wakeAtMs - world.now());
      world.pass(wakeAtMs - world.now());
    }
    expect(pauses).toStrictEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    expect(world.reconciler.report()).toMatchObject({
      complete: false,
      problem: "it answered 500",
      machines: [{ machine: A }],
    });
  });
});

it("tells the edge nothing that it would refuse: offers that break the contract, or too long a problem", () => {
  const { reconciler, now } = start([], []);
  const good = { id: "small", hardware: "cpu", devices: 1, pricePerHourNano: 1, currency: "USD", billingIncrementS: 1 };
  const offer = { ...good, spot: false, available: null };
  reconciler.offered([{ ...offer, pricePerHourNano: -1 }, { ...offer, driver: "5".repeat(65) }, offer], null, now());
  reconciler.failedToList(new ProviderError("refused", "x".repeat(100_000)), now());
  expect(SyncRequestSchema.parse(reconciler.report()).offers).toEqual([offer]);
});
