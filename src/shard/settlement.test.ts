import { describe, expect, it, vi } from "vitest";
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Sql } from "./sql.ts";
import type { Submission } from "./types.ts";

const LANES = ["default"];
const SESSION = "session-1";
const reservation: HeldReservation = { plugin: "rate-limit", service: "allowance", id: "r1", data: { n: 1 } };

/** A shard on stored state that outlives it. */
function shard(sql: Sql = memorySql()) {
  const clock = { now: 1_700_000_000_000 };
  let tokens = 0;
  const core = () =>
    new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => `token-${(tokens += 1)}` });
  return { sql, clock, core: core(), reborn: core };
}

function accepted(core: ShardCore, changes: Partial<Submission> = {}): string {
  const id = newPredictionId(1);
  core.submit({ ...submission(id), reservations: [reservation], keyed: false, ...changes });
  return id;
}

function start(core: ShardCore, id: string): string {
  const [answer] = core.claim({ session: SESSION, jobs: [{ id, startNow: true }] }, LANES);
  if (answer?.verdict !== "granted") throw new Error("not granted");
  return answer.token;
}

function report(core: ShardCore, id: string, token: string, event: Partial<PoolEvent>): void {
  core.deliver([{ id, token, seq: 0, ...event } as PoolEvent], SESSION, LANES);
}

type Ends = (core: ShardCore, id: string, clock: { now: number }) => void;
const failed = { type: "failed", kind: "model", error: { code: "model_error", message: "no" } } as const;

const ends: [string, "settle" | "release", string, Ends][] = [
  ["succeeds", "settle", "succeeded", (core, id) => report(core, id, start(core, id), { type: "succeeded" })],
  ["fails", "settle", "failed", (core, id) => report(core, id, start(core, id), failed)],
  ["is canceled while it waits", "release", "canceled", (core, id) => void core.cancel(id, "account")],
  [
    "is canceled while it runs",
    "settle",
    "canceled",
    (core, id) => {
      start(core, id);
      core.cancel(id, "account");
    },
  ],
  [
    "never starts",
    "release",
    "aborted",
    (core, _id, clock) => {
      clock.now += 8 * 86_400_000;
      core.wake();
    },
  ],
  ["is refused by the log", "release", "failed", (core, id) => core.undeliverable(id, "too large")],
];

describe("what a plugin reserved", () => {
  it.each(ends)("goes back once when the prediction %s", (_how, how, status, end) => {
    const { core, clock } = shard();
    const id = accepted(core);
    expect(core.settlement.waiting.size).toBe(0);
    end(core, id, clock);
    const given = core.settlement.take("allowance", 10);
    const { model } = submission(id);
    expect(given).toMatchObject([
      { ...reservation, how, status, predictionId: id, accountId: "account", model, cost: 1 },
    ]);
    core.settlement.settled(given);
    // Nothing that comes later gives it back once more.
    core.cancel(id, "account");
    clock.now += 60_000;
    core.wake();
    expect(core.settlement.waiting.size).toBe(0);
    expect(core.store.get(id)?.reservations).toBeNull();
  });

  it("is given back by the next life of a shard that died before the service had it", () => {
    const { core, clock, reborn } = shard();
    const id = accepted(core);
    report(core, id, start(core, id), { type: "succeeded", metrics: { predict_time: 1 } });
    const second = reborn();
    expect(second.settlement.waiting.size).toBe(0);
    expect(second.store.nextWakeAt()).toBeLessThanOrEqual(clock.now + 2000);
    clock.now += 2000;
    second.wake();
    const given = second.settlement.take("allowance", 10);
    expect(given).toMatchObject([{ id: "r1", how: "settle", metrics: { predict_time: 1 } }]);
    second.settlement.settled(given);
    expect(second.store.get(id)).toMatchObject({ reservations: null, handAt: null, state: "succeeded" });
    expect(reborn().store.nextWakeAt()).toBe(clock.now - 2000 + defaultRules.retentionMs);
  });

  it("is tried every half minute while the service is away, and holds up no retention", () => {
    const { core, clock } = shard();
    const id = accepted(core);
    core.cancel(id, "account");
    core.settlement.take("allowance", 10);
    const tries: number[] = [];
    for (let step = 0; step < 62; step += 1) {
      clock.now += 1000;
      core.wake();
      if (core.settlement.take("allowance", 10).length > 0) tries.push(step + 1);
    }
    expect(tries).toEqual([2, 32, 62]);
    clock.now += defaultRules.retentionMs;
    expect(core.wake().expired).toMatchObject([{ id }]);
  });

  it("is not forgotten with data that is kept for a minute, while its service is away for a day at most", () => {
    const { core, clock } = shard();
    const id = accepted(core, { retentionMs: 60_000 });
    report(core, id, start(core, id), { type: "succeeded" });
    core.settlement.take("allowance", 10);
    clock.now += 120_000;
    expect(core.wake().expired).toEqual([]);
    const given = core.settlement.take("allowance", 10);
    expect(given).toMatchObject([{ id: "r1", how: "settle" }]);
    core.settlement.settled(given);
    clock.now += 30_000;
    expect(core.wake().expired).toMatchObject([{ id }]);
    const lost = accepted(core, { retentionMs: 60_000 });
    core.cancel(lost, "account");
    clock.now += defaultRules.retentionMs;
    expect(core.wake().expired.map((one) => one.id)).toContain(lost);
  });

  it("is known again when its submission comes twice, as its answer was lost", () => {
    const { core } = shard();
    const id = accepted(core);
    const again = { ...submission(id), keyed: false };
    expect(core.submit({ ...again, reservations: [reservation] })?.created).toBe(true);
    expect(core.submit({ ...again, reservations: [{ ...reservation, id: "r2" }] })?.created).toBe(false);
    expect(core.submit(again)?.created).toBe(false);
    expect(core.store.get(id)?.reservations).toEqual([reservation]);
  });

  it("is dropped when there is no such service any more", () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { core } = shard();
    const id = accepted(core);
    core.cancel(id, "account");
    core.settlement.unknown("allowance", core.settlement.take("allowance", 10));
    expect(core.store.get(id)?.reservations).toBeNull();
  });

  it("costs a prediction without reservations nothing", () => {
    const { core, sql } = shard();
    const id = newPredictionId(1);
    core.submit({ ...submission(id), keyed: false });
    core.cancel(id, "account");
    expect(core.settlement.waiting.size).toBe(0);
    expect(core.store.get(id)).toMatchObject({ reservations: null, handAt: null });
    const [row] = sql("SELECT * FROM prediction");
    expect(String(row?.["changing"])).not.toContain("verdicts");
  });

  it("finds its column in a table from before", () => {
    const sql = memorySql();
    shard(sql);
    sql("DROP TABLE object_schema");
    sql("ALTER TABLE prediction DROP COLUMN reservations");
    const { core } = shard(sql);
    expect(core.store.get(accepted(core))?.reservations).toEqual([reservation]);
  });
});
