/**
 * Several accounts at one host, one of them dead, slow or greedy: nobody else pays for it, in time, in room or in what
 * the log keeps.
 */
import { describe, expect, it } from "vitest";
import { createWorld, failed, HOUR_MS, message, START_AT } from "../../test/unit/webhook-world.ts";
import type { Answer } from "../../test/unit/webhook-world.ts";
import { defaultLimits } from "./dispatcher.ts";
import { MAX_DISABLED_URLS } from "./notes.ts";
import { FIRST_WINDOW, MAX_PROBES, RESERVED_REQUESTS } from "./turns.ts";

const KIB = 1024;
const MIB = KIB * KIB;

type World = ReturnType<typeof createWorld>;

const hangs: Answer = { ...failed, status: null, hostFailed: true, afterMs: 10_000 };
const dead: Answer = { ...failed, hostFailed: true, afterMs: 5 };

const idsOf = (name: string, count: number) => Array.from({ length: count }, (_value, index) => `${name}${index}`);

/** `count` messages of an account, each of its own prediction, with bodies of `bytes`. */
function send(world: World, accountId: string, count: number, bytes = 100): string[] {
  const ids = idsOf(`${accountId}-`, count);
  const body = "x".repeat(bytes);
  world.dispatcher.enqueue(ids.map((id) => message(id, "completed", { accountId, body, createdAt: world.now })));
  return ids;
}

const stateOf = (world: World, id: string) => world.dispatcher.deliveries(id)[0]?.state;
const sentOf = (world: World, accountId: string) => world.sent.filter((one) => one.accountId === accountId);
const deliveredOf = (world: World, ids: readonly string[]) =>
  ids.filter((id) => stateOf(world, id) === "delivered").length;

describe("requests", () => {
  it.each([defaultLimits.hostRequests, 7, 3])("an account alone at its host may have all %i", async (hostRequests) => {
    const world = createWorld(() => ({ afterMs: 50 }), { hostRequests });
    const ids = send(world, "a", 400);
    await world.run(10_000);
    expect(world.mostInFlight()).toBe(hostRequests);
    expect(deliveredOf(world, ids)).toBe(400);
  });

  it("begins with a few, and has the more the more are answered", async () => {
    const world = createWorld(() => ({ afterMs: 50 }));
    send(world, "a", 100);
    await world.run(10);
    expect(world.mostInFlight()).toBe(FIRST_WINDOW);
    await world.run(60);
    expect(world.mostInFlight()).toBe(2 * FIRST_WINDOW);
  });

  it("are shared evenly by accounts that have much to send", async () => {
    const world = createWorld(() => ({ afterMs: 50 }));
    send(world, "a", 2000);
    await world.run(1000);
    const before = sentOf(world, "a").length;
    send(world, "b", 2000);
    await world.run(2000);
    const [a, b] = [sentOf(world, "a").length - before, sentOf(world, "b").length];
    expect(b).toBeGreaterThan(300);
    expect(Math.abs(a - b) / b).toBeLessThan(0.2);
  });

  it("of accounts that fill the memory let another account's larger one go", async () => {
    const limits = { inFlightBytes: 80 * KIB, accountInFlightBytes: 40 * KIB };
    const world = createWorld(() => ({ afterMs: 1000 }), limits);
    for (const name of ["a", "b"]) send(world, name, 2000, 2900);
    await world.run(20_000);
    const large = send(world, "c", 1, 8 * KIB);
    await world.run(5000);
    expect(deliveredOf(world, large)).toBe(1);
    const before = world.sent.length;
    await world.run(5000);
    expect(world.sent.length).toBeGreaterThan(before + 80);
  });

  it("that are all slow let another account's go at once", async () => {
    const world = createWorld(({ accountId }) => ({ afterMs: accountId === "slow" ? 9000 : 5 }));
    send(world, "slow", 400);
    await world.run(60_000);
    expect(world.mostInFlight()).toBe(defaultLimits.hostRequests);
    const ids = send(world, "quick", 20);
    await world.run(500);
    expect(deliveredOf(world, ids)).toBe(20);
    expect(world.mostInFlight()).toBeLessThanOrEqual(defaultLimits.hostRequests + RESERVED_REQUESTS);
  });

  it("that hang are soon one at a time", async () => {
    const world = createWorld(({ accountId }) => (accountId === "hanging" ? hangs : { afterMs: 5 }));
    send(world, "hanging", 100);
    await world.run(9000);
    expect(world.sent).toHaveLength(FIRST_WINDOW);
    await world.run(10_000);
    expect(world.sent).toHaveLength(FIRST_WINDOW + 1);
    await world.run(HOUR_MS);
    // The breaker asks every five minutes at last.
    expect(world.sent.length).toBeLessThan(40);
  });

  it("hold no more of their bodies in memory than they may, and a large one holds nobody up", async () => {
    let [most, held] = [0, 0];
    const world = createWorld(
      ({ body }) => {
        held += body.length;
        most = Math.max(most, held);
        return { afterMs: 1000 };
      },
      { inFlightBytes: 60 * KIB, accountInFlightBytes: 30 * KIB },
    );
    const large = send(world, "a", 3, 20 * KIB);
    await world.run(0);
    expect(world.sent).toHaveLength(1);
    for (const accountId of ["b", "c"]) large.push(...send(world, accountId, 3, 20 * KIB));
    const small = send(world, "d", 3);
    await world.run(990);
    expect(most).toBeLessThanOrEqual(60 * KIB);
    expect(sentOf(world, "d")).toHaveLength(3);
    await world.run(HOUR_MS);
    expect(deliveredOf(world, [...large, ...small])).toBe(12);
  });
});

describe("a dead URL on a host that others use", () => {
  it("delays none of their messages, whenever they come", async () => {
    const world = createWorld(({ accountId }) => (accountId === "dead" ? dead : { afterMs: 5 }));
    send(world, "dead", 500);
    for (let minute = 0; minute < 60; minute += 1) {
      await world.run(60_000);
      const id = `fine-${minute}`;
      world.dispatcher.enqueue([message(id, "completed", { accountId: "fine", createdAt: world.now })]);
      await world.run(100);
      expect(world.dispatcher.deliveries(id)).toMatchObject([{ state: "delivered", tryCount: 1 }]);
    }
    expect(sentOf(world, "dead").length).toBeLessThan(150);
  });

  it("delays none of them when there are 60 that hang, each of another account", async () => {
    const world = createWorld(({ accountId }) => (accountId.startsWith("hanging") ? hangs : { afterMs: 5 }));
    for (const accountId of idsOf("hanging", 60)) send(world, accountId, 100);
    // By then each was found to hang.
    await world.run(300_000);
    const late: number[] = [];
    for (let minute = 0; minute < 60; minute += 1) {
      await world.run(60_000);
      const id = `fine-${minute}`;
      world.dispatcher.enqueue([message(id, "completed", { accountId: "fine", createdAt: world.now })]);
      await world.run(100);
      if (stateOf(world, id) !== "delivered") late.push(minute);
    }
    expect(late).toEqual([]);
  });

  it("keeps its breaker over a reset, and nobody else has it", async () => {
    const world = createWorld(({ accountId }) => (accountId === "dead" ? dead : {}));
    send(world, "dead", 50);
    await world.run(4000);
    const before = world.sent.length;
    world.reset();
    const ids = send(world, "fine", 1);
    await world.run(10);
    expect(world.sent).toHaveLength(before + 1);
    expect(deliveredOf(world, ids)).toBe(1);
  });

  it("lets all ask again at once when somebody finds it up", async () => {
    let down = true;
    const world = createWorld(() => (down ? dead : { afterMs: 5 }));
    for (const accountId of ["a", "b", "c"]) send(world, accountId, 20);
    await world.run(HOUR_MS);
    down = false;
    const late = ["a", "b", "c"].map((accountId) => {
      const id = `late-${accountId}`;
      world.dispatcher.enqueue([message(id, "completed", { accountId, createdAt: world.now })]);
      return id;
    });
    expect(deliveredOf(world, late)).toBe(0);
    send(world, "newcomer", 1);
    await world.run(1000);
    expect(late.every((id) => stateOf(world, id) === "delivered")).toBe(true);
  });

  it("is asked for few accounts at a time when it is the whole host, and all get theirs once it is back", async () => {
    let down = true;
    const world = createWorld(() => (down ? hangs : { afterMs: 5 }));
    const accounts = idsOf("account", 60);
    send(world, "first", 20);
    await world.run(60_000);
    const before = world.sent.length;
    const ids = accounts.flatMap((accountId) => send(world, accountId, 3));
    await world.run(9000);
    expect(world.sent.length - before).toBeLessThanOrEqual(MAX_PROBES);
    await world.run(HOUR_MS);
    down = false;
    await world.run(12 * HOUR_MS);
    expect(deliveredOf(world, ids)).toBe(ids.length);
  });
});

describe("room", () => {
  const limits = { accountBytes: 100 * KIB, accountLogBytes: 200 * KIB };

  it("that one account has used up refuses none of another's, and says whose it was", async () => {
    const world = createWorld(({ accountId }) => (accountId === "greedy" ? failed : {}), limits);
    const greedy = send(world, "greedy", 40, 4 * KIB);
    const fine = send(world, "fine", 10, 4 * KIB);
    await world.run(100);
    expect(deliveredOf(world, fine)).toBe(10);
    const states = greedy.map((id) => stateOf(world, id));
    expect(states.filter((state) => state === "pending")).toHaveLength(19);
    expect(states.filter((state) => state === "failed")).toHaveLength(21);
    expect(world.dispatcher.deliveries(greedy.at(-1) ?? "")).toMatchObject([
      { state: "failed", tryCount: 0, reason: "More than 0 MiB of this account's messages would wait for this host." },
    ]);
  });

  it("counts bytes, not characters, and what waits behind another message too", async () => {
    const world = createWorld(() => hangs, limits);
    const body = "€".repeat(30 * KIB);
    world.dispatcher.enqueue([message("p", "start"), message("p", "completed", { body })]);
    world.dispatcher.enqueue([message("q", "completed", { body })]);
    expect(stateOf(world, "q")).toBe("failed");
    world.reset();
    world.dispatcher.enqueue([message("r", "completed", { body })]);
    expect(stateOf(world, "r")).toBe("failed");
  });

  it("is free again when messages have ended, and always there for one", async () => {
    const world = createWorld(() => ({}), limits);
    for (let round = 0; round < 5; round += 1) {
      const id = `round-${round}`;
      world.dispatcher.enqueue([message(id, "completed", { body: "x".repeat(90 * KIB) })]);
      await world.run(100);
      expect(stateOf(world, id)).toBe("delivered");
    }
    world.dispatcher.enqueue([message("huge", "completed", { body: "x".repeat(150 * KIB) })]);
    await world.run(100);
    expect(stateOf(world, "huge")).toBe("delivered");
  });

  it("in the log is an account's own: its oldest lines go, and nobody else's", async () => {
    const world = createWorld(() => ({}), limits);
    const [kept = ""] = send(world, "fine", 1);
    const greedy: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      const ids = idsOf(`greedy-${round}-`, 50);
      world.dispatcher.enqueue(
        ids.map((id) => message(id, "completed", { accountId: "greedy", createdAt: world.now })),
      );
      await world.run(1000);
      greedy.push(...ids);
    }
    expect(stateOf(world, kept)).toBe("delivered");
    expect(stateOf(world, greedy.at(-1) ?? "")).toBe("delivered");
    expect(stateOf(world, greedy[0] ?? "")).toBeUndefined();
    const { logBytes } = world.store.usage("greedy");
    expect(logBytes).toBeLessThanOrEqual(limits.accountLogBytes);
    expect(logBytes).toBeGreaterThan(0.9 * limits.accountLogBytes);
  });

  it("of a host with too many messages is for those who have few", async () => {
    const hostBytes = 500 * KIB;
    const crowd = { ...limits, accountBytes: 10 * MIB, hostBytes, crowdedAccountBytes: 20 * KIB };
    const world = createWorld(({ accountId }) => (accountId === "greedy" ? hangs : {}), crowd);
    const greedy = send(world, "greedy", 300, 4 * KIB);
    send(world, "logged", 30, 4 * KIB);
    const more = send(world, "greedy-too", 1, 4 * KIB);
    await world.run(100);
    expect(deliveredOf(world, more)).toBe(1);
    const [again = ""] = idsOf("again", 1);
    world.dispatcher.enqueue([message(again, "completed", { accountId: "greedy", body: "x".repeat(4 * KIB) })]);
    expect(stateOf(world, again)).toBe("failed");
    expect(stateOf(world, greedy[0] ?? "")).toBe("pending");
    await world.run(60_000);
    expect(world.store.usage("logged").logBytes).toBeLessThanOrEqual(20 * KIB);
  });

  it("is followed to the byte, through ends, redeliveries and removals", async () => {
    const world = createWorld((_sent, now) => (now < START_AT + 100 ? failed : {}));
    const body = "ü".repeat(500_000);
    world.dispatcher.enqueue([message("p", "start"), message("p", "output"), message("p", "completed", { body })]);
    await world.run(60_000);
    world.dispatcher.redeliver("p", "msg_p_start");
    await world.run(60_000);
    world.dispatcher.forget(["p"], "keep");
    expect(world.store.usage("a")).toMatchObject({ openBytes: 0 });
    expect(world.store.usage("a").logBytes).toBeLessThan(4 * KIB);
  });
});

it("remembers a bounded number of an account's disabled URLs", () => {
  const { store } = createWorld(() => ({}));
  for (let index = 0; index < MAX_DISABLED_URLS + 5; index += 1)
    store.disable("a", `https://example.com/${index}`, index);
  store.disable("b", "https://example.com/b", 0);
  expect(store.isDisabled("a", "https://example.com/4")).toBe(false);
  expect(store.isDisabled("a", "https://example.com/5")).toBe(true);
  expect(store.isDisabled("b", "https://example.com/b")).toBe(true);
});
