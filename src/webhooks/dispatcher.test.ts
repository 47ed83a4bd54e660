import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createWorld, failed, HOUR_MS, message, START_AT } from "../../test/unit/webhook-world.ts";
import type { Answer } from "../../test/unit/webhook-world.ts";
import { INTERIM_TRIES_BEFORE_COMPLETED, retryDelaysMs } from "./schedule.ts";
import { INLINE_BODY_CHARS, LOG_KEPT_MS } from "./store.ts";

describe("retries", () => {
  it("follow the schedule for three days, with one webhook-id, and then end", async () => {
    const world = createWorld(() => failed);
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(100 * HOUR_MS);
    const delays = world.sent.slice(1).map(({ at }, index) => at - world.sent[index]!.at);
    expect(delays).toEqual([...retryDelaysMs]);
    expect(new Set(world.sent.map(({ webhookId }) => webhookId)).size).toBe(1);
    expect(world.dispatcher.deliveries("p")).toMatchObject([
      { state: "failed", tryCount: 11, reason: "The receiver answered 500.", nextTryAt: null },
    ]);
    await world.run(LOG_KEPT_MS);
    expect(world.dispatcher.deliveries("p")).toEqual([]);
    expect(world.alarmAt()).toBeNull();
  });

  it("end with the first 2xx", async () => {
    const world = createWorld((_message, now) => (now < START_AT + 5000 ? failed : {}));
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(HOUR_MS);
    expect(world.sent.map(({ at }) => at - START_AT)).toEqual([0, 1000, 6000]);
    expect(world.dispatcher.deliveries("p")).toMatchObject([{ state: "delivered", tryCount: 3 }]);
  });

  it("wait as long as Retry-After says", async () => {
    const world = createWorld((_message, now) => (now === START_AT ? { ...failed, retryAfterMs: 40_000 } : {}));
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(HOUR_MS);
    expect(world.sent.map(({ at }) => at - START_AT)).toEqual([0, 40_000]);
  });

  it("cost no try when the fault is ours", async () => {
    const world = createWorld((_message, now) => (now < START_AT + 60_000 ? { result: "unsent" } : {}));
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(HOUR_MS);
    expect(world.dispatcher.deliveries("p")).toMatchObject([{ state: "delivered", tryCount: 1 }]);
  });

  it("go on where what became of one could not be stored, as the disk was full", async () => {
    const world = createWorld(() => ({}));
    const { update } = world.store;
    world.store.update = (changed) => {
      if (world.now < START_AT + 60_000) throw new Error("database or disk is full");
      return update(changed);
    };
    world.dispatcher.enqueue([message("p", "completed"), message("q", "completed", { accountId: "another" })]);
    await world.run(HOUR_MS);
    for (const id of ["p", "q"]) expect(world.dispatcher.deliveries(id)).toMatchObject([{ state: "delivered" }]);
    // Each of them seldom enough while that lasts.
    expect(world.sent.length).toBeLessThan(30);
  });

  it("go on after the object was reset in the middle of a try", async () => {
    const world = createWorld((_message, now) => (now === START_AT ? { afterMs: 5000 } : {}));
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(100);
    world.reset();
    await world.run(100);
    expect(world.sent.map(({ webhookId }) => webhookId)).toEqual(["msg_p_completed", "msg_p_completed"]);
    expect(world.dispatcher.deliveries("p")).toMatchObject([{ state: "delivered" }]);
  });
});

describe("enqueue", () => {
  it("takes a message once", async () => {
    const world = createWorld(() => ({}));
    for (let repeat = 0; repeat < 3; repeat += 1) world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(1000);
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(1000);
    expect(world.sent).toHaveLength(1);
  });

  it("keeps a body of several megabytes whole, emoji at the seam included", async () => {
    const body = `${"x".repeat(INLINE_BODY_CHARS - 1)}🎉${"é".repeat(INLINE_BODY_CHARS * 3)}`;
    const world = createWorld(() => failed);
    world.dispatcher.enqueue([message("p", "completed", { body })]);
    await world.run(10_000);
    expect(world.sent).toHaveLength(3);
    expect(world.sent.every((one) => one.body === body)).toBe(true);
  });
});

describe("order within a prediction", () => {
  it("holds later events back until the earlier one has ended", async () => {
    const world = createWorld((sent, now) => (sent.webhookId === "msg_p_start" && now < START_AT + 3000 ? failed : {}));
    world.dispatcher.enqueue([message("p", "completed"), message("p", "start")]);
    world.dispatcher.enqueue([message("q", "completed")]);
    await world.run(HOUR_MS);
    expect(world.sent.map(({ webhookId }) => webhookId)).toEqual([
      "msg_p_start",
      "msg_q_completed",
      "msg_p_start",
      "msg_p_start",
      "msg_p_completed",
    ]);
  });

  it("drops outputs that still wait in favour of the latest", async () => {
    const world = createWorld(() => ({ afterMs: 1000 }));
    world.dispatcher.enqueue([message("p", "start")]);
    for (let index = 0; index < 5; index += 1) {
      world.dispatcher.enqueue([message("p", "output", { webhookId: `out_${index}`, createdAt: START_AT + index })]);
    }
    world.dispatcher.enqueue([message("p", "completed", { createdAt: START_AT + 9 })]);
    await world.run(HOUR_MS);
    expect(world.sent.map(({ webhookId }) => webhookId)).toEqual(["msg_p_start", "out_4", "msg_p_completed"]);
    const states = world.dispatcher.deliveries("p").map(({ state }) => state);
    expect(states.filter((state) => state === "superseded")).toHaveLength(4);
  });

  it("never sends an interim event after completed", async () => {
    const world = createWorld(() => ({}));
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(1000);
    world.dispatcher.enqueue([message("p", "output")]);
    await world.run(1000);
    expect(world.sent).toHaveLength(1);
  });

  it("lets completed go after an interim event has failed for half an hour", async () => {
    const world = createWorld((sent) => (sent.webhookId === "msg_p_start" ? failed : {}));
    world.dispatcher.enqueue([message("p", "start"), message("p", "completed")]);
    await world.run(HOUR_MS);
    expect(world.sent).toHaveLength(INTERIM_TRIES_BEFORE_COMPLETED + 1);
    expect(world.sent.at(-1)).toMatchObject({ webhookId: "msg_p_completed" });
  });
});

describe("410", () => {
  it("disables the URL for that account until a redelivery", async () => {
    let gone = true;
    const world = createWorld((sent) =>
      gone && sent.accountId === "a" ? { result: "gone", status: 410, error: "The receiver answered 410 Gone." } : {},
    );
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(1000);
    const url = "https://example.com/a";
    world.dispatcher.enqueue([message("q", "completed"), message("r", "completed", { accountId: "b", url })]);
    await world.run(1000);
    expect(world.sent.map(({ webhookId }) => webhookId)).toEqual(["msg_p_completed", "msg_r_completed"]);
    expect(world.dispatcher.deliveries("q")).toMatchObject([{ state: "disabled", tryCount: 0 }]);
    gone = false;
    expect(world.dispatcher.redeliver("q", "msg_q_completed")).toBe("queued");
    world.dispatcher.enqueue([message("s", "completed")]);
    await world.run(1000);
    expect(world.dispatcher.deliveries("q")).toMatchObject([{ state: "delivered" }]);
    expect(world.dispatcher.deliveries("s")).toMatchObject([{ state: "delivered" }]);
  });
});

describe("redeliver", () => {
  it("sends a delivered message again with the same webhook-id and body", async () => {
    const world = createWorld(() => ({}));
    world.dispatcher.enqueue([message("p", "completed")]);
    await world.run(1000);
    expect(world.dispatcher.redeliver("p", "msg_p_completed")).toBe("queued");
    expect(world.dispatcher.redeliver("p", "msg_other")).toBe("not_found");
    await world.run(1000);
    expect(world.sent).toHaveLength(2);
    expect(world.sent[1]).toMatchObject({ webhookId: "msg_p_completed", body: world.sent[0]!.body });
    expect(world.counts()).toEqual({ open: 0, finished: 1 });
  });

  it("gives a message its whole time again, also at a host that is still down", async () => {
    let down = true;
    const world = createWorld(() => (down ? { ...failed, hostFailed: true } : {}));
    const ids = Array.from({ length: 20 }, (_value, index) => `p${index}`);
    for (const id of ids) world.dispatcher.enqueue([message(id, "completed")]);
    await world.run(100 * HOUR_MS);
    expect(world.counts()).toEqual({ open: 0, finished: 20 });
    for (const id of ids) world.dispatcher.redeliver(id, `msg_${id}_completed`);
    await world.run(HOUR_MS);
    expect(world.counts()).toEqual({ open: 20, finished: 0 });
    down = false;
    await world.run(10 * HOUR_MS);
    expect(ids.every((id) => world.dispatcher.deliveries(id)[0]?.state === "delivered")).toBe(true);
  });
});

describe("whatever the receiver does", () => {
  it("each message ends once, in order, and completed last", async () => {
    const outcomes = fc.constantFrom<Answer>(
      {},
      failed,
      { ...failed, hostFailed: true },
      { result: "failed", status: 302 },
      { result: "unsent" },
      { afterMs: 700 },
      { ...failed, afterMs: 10_000, hostFailed: true },
    );
    const events = fc.constantFrom("start" as const, "output" as const, "logs" as const, "completed" as const);
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            prediction: fc.nat({ max: 3 }),
            event: events,
            waitMs: fc.nat({ max: 3000 }),
            reset: fc.boolean(),
          }),
          {
            maxLength: 25,
          },
        ),
        fc.array(outcomes, { minLength: 1, maxLength: 30 }),
        async (steps, answers) => {
          let call = 0;
          const world = createWorld(() => (call < answers.length ? answers[call++]! : {}));
          const seen = new Set<string>();
          for (const [index, { prediction, event, waitMs, reset }] of steps.entries()) {
            const webhookId = `${event}_${prediction}${event === "completed" || event === "start" ? "" : `_${index}`}`;
            seen.add(`p${prediction} ${webhookId}`);
            world.dispatcher.enqueue([message(`p${prediction}`, event, { webhookId, createdAt: world.now })]);
            await world.run(waitMs);
            if (reset) world.reset();
          }
          await world.run(90 * HOUR_MS);
          expect(world.counts()).toEqual({ open: 0, finished: seen.size });
          for (let prediction = 0; prediction < 4; prediction += 1) {
            const tries = world.sent
              .map(({ webhookId }) => webhookId)
              .filter((id) => id.split("_")[1] === String(prediction));
            const runs = tries.filter((id, index) => id !== tries[index - 1]);
            expect(new Set(runs).size).toBe(runs.length);
            const end = runs.indexOf(`completed_${prediction}`);
            expect([-1, runs.length - 1]).toContain(end);
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});
