/** A host that is down, a queue that is long, a stream that tells much: nobody else pays for it. */
import { describe, expect, it, vi } from "vitest";
import { createWorld, failed, HOUR_MS, message, START_AT } from "../../test/unit/webhook-world.ts";
import { defaultLimits } from "./dispatcher.ts";
import { INTERIM_LISTED } from "./store.ts";

describe("a host that is down", () => {
  it.each([
    ["another account", { accountId: "b" }],
    ["another URL of the account", { url: "https://example.com/fine" }],
  ])("is found to be up by a message of %s, however many of a URL fail", async (_whose, rest) => {
    const world = createWorld(({ webhookId }) =>
      webhookId === "msg_fine_completed" ? {} : { ...failed, hostFailed: true },
    );
    for (let index = 0; index < 200; index += 1) world.dispatcher.enqueue([message(`p${index}`, "completed")]);
    await world.run(1000);
    world.dispatcher.enqueue([message("fine", "completed", rest)]);
    await world.run(HOUR_MS / 6);
    expect(world.dispatcher.deliveries("fine")).toMatchObject([{ state: "delivered" }]);
  });

  it("is asked by single probes, and gets everything once it is back", async () => {
    let down = true;
    const world = createWorld(() => (down ? { ...failed, status: null, hostFailed: true } : {}));
    const ids = Array.from({ length: 300 }, (_value, index) => `p${index}`);
    for (const id of ids) world.dispatcher.enqueue([message(id, "completed")]);
    await world.run(2 * HOUR_MS);
    expect(world.sent.length).toBeLessThan(60);
    down = false;
    await world.run(2 * HOUR_MS);
    expect(ids.every((id) => world.dispatcher.deliveries(id)[0]?.state === "delivered")).toBe(true);
  });

  it("keeps its breaker over a reset", async () => {
    const world = createWorld(() => ({ ...failed, hostFailed: true }));
    for (let index = 0; index < 20; index += 1) world.dispatcher.enqueue([message(`p${index}`, "completed")]);
    await world.run(1000);
    const { length } = world.sent;
    world.reset();
    expect(world.sent).toHaveLength(length);
  });

  it("is given up after its messages' time, tried or not", async () => {
    const world = createWorld(() => ({ ...failed, hostFailed: true }));
    for (let index = 0; index < 700; index += 1) world.dispatcher.enqueue([message(`p${index}`, "completed")]);
    await world.run(90 * HOUR_MS);
    expect(world.counts()).toEqual({ open: 0, finished: 700 });
  });
});

describe("a long stream", () => {
  it("leaves the latest of its messages in the log, without what they said", async () => {
    const world = createWorld(() => ({}));
    const output = (index: number) =>
      message("p", "output", { webhookId: `out_${index}`, createdAt: START_AT + index, body: `said ${index}` });
    for (let index = 0; index < INTERIM_LISTED + 50; index += 1) {
      world.dispatcher.enqueue([output(index)]);
      await world.run(500);
    }
    world.dispatcher.enqueue([message("p", "completed", { createdAt: START_AT + 1_000_000 })]);
    await world.run(500);
    expect(world.sent).toHaveLength(INTERIM_LISTED + 51);
    const listed = world.dispatcher.deliveries("p").map(({ webhookId }) => webhookId);
    expect([listed.length, listed[0], listed.at(-1)]).toEqual([INTERIM_LISTED + 1, "out_50", "msg_p_completed"]);
    expect(world.counts()).toEqual({ open: 0, finished: INTERIM_LISTED + 1 });
    expect(world.dispatcher.redeliver("p", "out_149")).toBe("gone");
    expect(world.dispatcher.redeliver("p", "msg_p_completed")).toBe("queued");
  });
});

describe("a long queue", () => {
  it("is not looked through at every delivery, and lets others in at once", async () => {
    const world = createWorld((sent) => ({ afterMs: sent.accountId === "a" ? 10 : 5 }));
    const due = vi.spyOn(world.store, "due");
    for (let index = 0; index < 300; index += 1) world.dispatcher.enqueue([message(`p${index}`, "completed")]);
    await world.run(500);
    expect(world.sent.length).toBeGreaterThan(100);
    const rows = due.mock.calls.reduce((sum, [, , limit]) => sum + limit, 0);
    expect(rows / world.sent.length).toBeLessThan(5 * defaultLimits.hostRequests);
    world.dispatcher.enqueue([message("other", "completed", { accountId: "b" })]);
    await world.run(5);
    expect(world.dispatcher.deliveries("other")).toMatchObject([{ state: "delivered" }]);
    await world.run(HOUR_MS);
    expect(world.counts()).toEqual({ open: 0, finished: 301 });
  });
});
