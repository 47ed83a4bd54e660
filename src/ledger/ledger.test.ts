import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MoneySpec } from "../../plugins/kernel/allowance.ts";
import type { Ask, Group } from "../allowance/types.ts";
import type { Sql, SqlRow } from "../shard/sql.ts";
import { endOf, startOf } from "./calendar.ts";
import { createLedger } from "./ledger.ts";
import type { Ledger } from "./ledger.ts";
import { createLedgerRows } from "./rows.ts";

const NOW = Date.UTC(2026, 10, 29, 12);
const HOUR_MS = 3_600_000;
const alert = { url: "https://receiver.test/", account: "a", of: "account:acme" };
const month = (limit: number, more: object = {}): MoneySpec => {
  return { algorithm: "calendar", limit, period: "month", ...more };
};
const day = (limit: number): MoneySpec => ({ algorithm: "calendar", limit, period: "day" });
const balance: MoneySpec = { algorithm: "balance", limit: 0 };
const BUCKET = "account:a month USD";
const ask = (need: number, spec: MoneySpec, bucket = BUCKET): Ask => ({ bucket, spec, need, want: 0, held: true });
let count = 0;
const YEARS_MS = 2 * 366 * 24 * HOUR_MS;
const group = (...asks: Ask[]): Group => ({ id: `r${(count += 1)}`, expiresAt: NOW + YEARS_MS, asks });

/** A ledger that may start again at any time, over what it stored. */
function world(maxCorrectable?: number) {
  const database = new DatabaseSync(":memory:");
  const writes = { count: 0 };
  const sql: Sql = (query, ...bindings) => {
    if (/^\s*(INSERT|DELETE|UPDATE)/.test(query)) writes.count += 1;
    return database.prepare(query).all(...bindings) as SqlRow[];
  };
  const rows = createLedgerRows(sql);
  let ledger: Ledger = createLedger(rows, maxCorrectable);
  const take = (one: Group, now = NOW) => ledger.take([one], now)[0];
  return {
    rows,
    writes,
    take,
    takes: (one: Group, now = NOW): boolean => take(one, now)?.ok === true,
    /** Ends it with what it cost. */
    end(one: Group, cost: number, now = NOW, mayChange = false) {
      const back = one.asks.map(({ bucket, spec, need }) => ({
        bucket,
        spec: spec as MoneySpec,
        at: 0,
        amount: need - cost,
      }));
      ledger.settle(
        [{ id: one.id, expiresAt: one.expiresAt, back, slots: [], ...(mayChange ? { mayChange } : {}) }],
        now,
      );
    },
    read: (spec: MoneySpec, now = NOW, bucket = BUCKET) => ledger.read(bucket, spec, now),
    payIn: (key: string, nano: number) => ledger.payIn(key, { bucket: BUCKET, nano, at: NOW, why: "test" }),
    forget: () => ledger.forget(BUCKET),
    restart: () => void (ledger = createLedger(createLedgerRows(sql), maxCorrectable)),
    /** The alerts that wait, which go with it. */
    told: () =>
      rows.alerts().map(([id, { body }]) => {
        rows.removeAlert(id);
        return (JSON.parse(body) as { percent: number }).percent;
      }),
  };
}

describe("days and months of UTC", () => {
  it.each([
    ["day", Date.UTC(2026, 10, 29, 23, 59, 59, 999), Date.UTC(2026, 10, 29), Date.UTC(2026, 10, 30)],
    ["month", Date.UTC(2026, 11, 31, 23, 59, 59, 999), Date.UTC(2026, 11, 1), Date.UTC(2027, 0, 1)],
    ["month", Date.UTC(2028, 1, 29), Date.UTC(2028, 1, 1), Date.UTC(2028, 2, 1)],
    ["all", NOW, 0, null],
  ] as const)("%s of %i", (period, now, start, end) => {
    expect(startOf(period, now)).toBe(start);
    expect(endOf(period, start)).toBe(end);
  });
});

describe("a ledger", () => {
  it("is exact over restarts, ends that come again, and reservations that are asked for again", () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ do: fc.constant("take" as const), need: fc.nat(400) }),
        fc.record({ do: fc.constant("end" as const), which: fc.nat(50), cost: fc.nat(600), isEstimate: fc.boolean() }),
        fc.record({ do: fc.constant("again" as const), which: fc.nat(50) }),
        fc.record({ do: fc.constant("restart" as const) }),
      ),
      { maxLength: 80 },
    );
    type Step = typeof steps extends fc.Arbitrary<infer Value> ? Value : never;
    const correctedAboveItsEstimate: Step = [
      { do: "take", need: 1 },
      { do: "end", which: 0, cost: 0, isEstimate: true },
      { do: "take", need: 266 },
      { do: "end", which: 0, cost: 1, isEstimate: false },
    ];
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 3000 }), (actions, limit) => {
        const { take, takes, end, read, restart } = world();
        const spec = month(limit);
        const taken: { one: Group; need: number; cost: number | null; isFinal?: boolean }[] = [];
        let over = 0;
        for (const step of actions) {
          const known = "which" in step ? taken[step.which % Math.max(1, taken.length)] : undefined;
          if (step.do === "restart") restart();
          else if (step.do === "take") {
            const one = group(ask(step.need, spec));
            const spent = taken.reduce((sum, { need, cost }) => sum + (cost ?? need), 0);
            expect(takes(one)).toBe(limit - spent >= Math.max(1, step.need));
            if (limit - spent >= Math.max(1, step.need)) taken.push({ one, need: step.need, cost: null });
          } else if (known !== undefined && step.do === "again") {
            if (known.cost === null) expect(take(known.one)?.ok).toBe(true);
          } else if (known !== undefined && step.do === "end") {
            // An estimate may be corrected, once: what comes later is known already.
            end(known.one, step.cost, NOW, step.isEstimate);
            if (known.isFinal === true) continue;
            // Overspend is only what costs more than the ledger held for it: the reservation, or the estimate since.
            over += Math.max(0, step.cost - (known.cost ?? known.need));
            known.cost = step.cost;
            known.isFinal = !step.isEstimate;
          }
        }
        restart();
        const settled = taken.reduce((sum, { cost }) => sum + (cost ?? 0), 0);
        const reserved = taken.reduce((sum, { need, cost }) => sum + (cost === null ? need : 0), 0);
        expect(read(spec)).toMatchObject({ settled, reserved });
        expect(settled + reserved).toBeLessThanOrEqual(limit + over);
      }),
      { numRuns: 150, examples: [[correctedAboveItsEstimate, 266]] },
    );
  });

  it("writes one row when it reserves of what it knows, and one and one for each bucket when that ends", () => {
    const { takes, end, writes } = world();
    const of = () => group(ask(1, month(1000)), ask(1, day(1000), "account:a day USD"));
    takes(of());
    const one = of();
    const before = writes.count;
    takes(one);
    expect(writes.count - before).toBe(1);
    end(one, 1);
    expect(writes.count - before).toBe(4);
  });

  it("takes all of a group or none, and says which refused, and until when", () => {
    const { take, takes, read } = world();
    const narrow = () => ask(6, day(10), "account:a day USD");
    expect(takes(group(ask(6, month(100)), narrow()))).toBe(true);
    const endsInMs = Date.UTC(2026, 10, 30) - NOW;
    expect(take(group(ask(6, month(100)), narrow()))).toMatchObject({ ok: false, by: 1, retryAfterMs: endsInMs });
    expect(read(month(100))).toMatchObject({ reserved: 6 });
    expect(take(group(ask(101, month(100))))).toMatchObject({ ok: false, retryAfterMs: null });
    expect(take(group(ask(0, month(0)), narrow()))).toMatchObject({ ok: false, by: 0, retryAfterMs: null });
  });

  it("refuses what should cost nothing once nothing is left", () => {
    const { takes, end } = world();
    const one = group(ask(10, month(10)));
    takes(one);
    end(one, 10);
    expect(takes(group(ask(0, month(10))))).toBe(false);
  });

  it("begins anew with the month, and counts in it only what was reserved in it", () => {
    const { takes, end, read } = world();
    const december = Date.UTC(2026, 11, 1);
    const late = group(ask(80, month(100)));
    expect(takes(late, december - 1)).toBe(true);
    expect(takes(group(ask(100, month(100))), december)).toBe(true);
    end(late, 90, december + 5);
    expect(read(month(100), december + 5)).toMatchObject({ settled: 0, reserved: 100 });
  });

  it("grants nothing for a clock that goes back, by a little or by a year", () => {
    const { takes, end, read } = world();
    const spec = day(100);
    const spent = group(ask(60, spec));
    const ahead = NOW + 365 * 86_400_000;
    takes(spent, ahead);
    end(spent, 60, ahead);
    const held = group(ask(30, spec));
    takes(held, ahead);
    expect(takes(group(ask(11, spec)), ahead - HOUR_MS)).toBe(false);
    expect(takes(group(ask(11, spec)), NOW)).toBe(false);
    expect(read(spec, NOW)).toMatchObject({ settled: 60, reserved: 30, at: startOf("day", NOW) });
    end(held, 40, NOW);
    expect(read(spec, NOW)).toMatchObject({ settled: 100, reserved: 0 });
    expect(takes(group(ask(11, spec)), NOW + 86_400_000)).toBe(true);
  });

  it("takes the difference to what an estimate had settled once, up or down, in the period that it counted in", () => {
    const { takes, end, payIn, read, restart } = world();
    const december = Date.UTC(2026, 11, 1);
    payIn("one", 1000);
    const specs = [month(1000), balance] as const;
    const [dearer, cheaper, late] = [100, 100, 100].map((need) =>
      group(...specs.map((spec) => ask(need, spec, spec === balance ? BUCKET : "account:a month USD-2"))),
    );
    if (dearer === undefined || cheaper === undefined || late === undefined) throw new Error("three were made");
    for (const one of [dearer, cheaper, late]) expect(takes(one)).toBe(true);
    const states = () => [read(specs[0], NOW, "account:a month USD-2"), read(balance)].map(({ settled }) => settled);
    for (const one of [dearer, cheaper, late]) end(one, 60, NOW, true);
    expect(states()).toEqual([180, 180]);
    restart();
    for (let call = 0; call < 3; call += 1) end(dearer, 90);
    end(dearer, 60, NOW, true);
    for (let call = 0; call < 3; call += 1) end(cheaper, 0);
    expect(states()).toEqual([150, 150]);
    expect(read(balance)).toMatchObject({ reserved: 0 });
    expect(takes(group(ask(5, specs[0], "account:a month USD-2")), december)).toBe(true);
    end(late, 10, december);
    expect(read(specs[0], december, "account:a month USD-2")).toMatchObject({ settled: 0, reserved: 5 });
    expect(read(balance)).toMatchObject({ settled: 100 });
  });

  it("keeps a bounded number of estimates that may be corrected, over restarts: of more, the oldest is final", () => {
    const { takes, end, read, restart, rows } = world(3);
    const estimated = (expiresAt = NOW + YEARS_MS): Group => {
      const one = { ...group(ask(1, month(1e9))), expiresAt };
      takes(one);
      end(one, 1, NOW, true);
      return one;
    };
    const oldest = estimated(NOW + HOUR_MS);
    for (let left = 2; left > 0; left -= 1) estimated();
    restart();
    const last = estimated();
    expect(rows.allHeld()).toHaveLength(3);
    end(oldest, 5);
    end(last, 5);
    expect(read(month(1e9))).toMatchObject({ settled: 3 + 1 + 4, reserved: 0 });
  });

  it("gives back what nobody ends in time, and charges the end that comes after all, once", () => {
    const { takes, end, read, restart } = world();
    const lost = { ...group(ask(100, month(100))), expiresAt: NOW + HOUR_MS };
    takes(lost);
    expect(takes(group(ask(1, month(100))), NOW + HOUR_MS - 1)).toBe(false);
    expect(read(month(100), NOW + HOUR_MS)).toMatchObject({ reserved: 0, settled: 0 });
    restart();
    for (let call = 0; call < 2; call += 1) end(lost, 70, NOW + 2 * HOUR_MS);
    expect(read(month(100), NOW + 2 * HOUR_MS)).toMatchObject({ reserved: 0, settled: 70 });
  });

  it("holds nothing for a reservation whose end came first", () => {
    const { takes, end, read } = world();
    const undone = group(ask(100, month(100)));
    end(undone, 0);
    takes(undone);
    expect(read(month(100))).toMatchObject({ reserved: 0 });
  });

  it("lets a balance be spent, pays in once for each key, and goes on after it was below zero", () => {
    const { takes, end, payIn, read, restart } = world();
    expect(takes(group(ask(1, balance)))).toBe(false);
    expect(payIn("one", 100)).toMatchObject({ isNew: true });
    restart();
    expect(payIn("one", 70)).toMatchObject({ isNew: false, paid: { nano: 100 } });
    const one = group(ask(100, balance));
    expect(takes(one)).toBe(true);
    end(one, 130);
    expect(read(balance)).toMatchObject({ paid: 100, settled: 130 });
    payIn("two", 30);
    expect(takes(group(ask(0, balance)))).toBe(false);
    payIn("three", 1);
    expect(takes(group(ask(1, balance)))).toBe(true);
    expect(payIn("four", Number.MAX_SAFE_INTEGER)).toBeNull();
  });

  it("lets a balance be paid into, whatever predictions are said to have cost", () => {
    const { takes, end, payIn, read } = world();
    payIn("one", 100);
    const lies = [1, 2, 3].map(() => group(ask(1, balance)));
    for (const one of lies) expect(takes(one)).toBe(true);
    for (const one of lies) end(one, Number.MAX_SAFE_INTEGER);
    expect(read(balance)).toMatchObject({ paid: 100, settled: Number.MAX_SAFE_INTEGER });
    expect(payIn("two", Number.MAX_SAFE_INTEGER - 100)).toMatchObject({ isNew: true });
    expect(payIn("three", -5)).toMatchObject({ isNew: true });
  });

  it("tells of 50, 80 and 100 % once in a month, also when it refuses, and again in the next", () => {
    const { takes, end, told } = world();
    const spend = (cost: number, now = NOW, soft = false): boolean => {
      const one = group(ask(cost, month(100, { alert, ...(soft ? { soft } : {}) })));
      const taken = takes(one, now);
      end(one, cost, now);
      return taken;
    };
    spend(49);
    expect(told()).toEqual([]);
    spend(1);
    expect(told()).toEqual([50]);
    spend(5);
    expect(told()).toEqual([]);
    expect(spend(60)).toBe(false);
    expect(told()).toEqual([100]);
    expect(spend(60)).toBe(false);
    expect(told()).toEqual([]);
    const december = Date.UTC(2026, 11, 2);
    expect(spend(250, december, true)).toBe(true);
    expect(told().toSorted((a, b) => a - b)).toEqual([50, 80, 100]);
  });

  it("tells of a balance that less is left than was named, and nothing, each once until it is paid into", () => {
    const { takes, end, payIn, rows } = world();
    const spec: MoneySpec = { algorithm: "balance", limit: 0, alert: { ...alert, belowNano: 30 } };
    const spend = (cost: number, need = cost): boolean => {
      const one = group(ask(need, spec));
      const taken = takes(one);
      if (taken) end(one, cost);
      return taken;
    };
    const told = () =>
      rows.alerts().map(([id, { body }]) => {
        rows.removeAlert(id);
        const { level, left_nano: left, refuses } = JSON.parse(body) as Record<string, unknown>;
        return [level, left, refuses];
      });
    payIn("one", 100);
    spend(70);
    expect(told()).toEqual([]);
    spend(1);
    expect(told()).toEqual([["low", 29, false]]);
    spend(9);
    expect(told()).toEqual([]);
    for (let call = 0; call < 2; call += 1) expect(spend(21)).toBe(false);
    spend(5);
    expect(told()).toEqual([["empty", 20, true]]);
    expect(spend(20)).toBe(false);
    payIn("two", 5);
    expect(told()).toEqual([]);
    spend(30, 1);
    expect(told()).toEqual([["empty", -10, false]]);
    payIn("three", 100);
    expect(told()).toEqual([]);
    payIn("back", -61);
    expect(told()).toEqual([["low", 29, false]]);
    payIn("four", 1);
    spend(1);
    expect(told()).toEqual([["low", 29, false]]);
  });

  it("tells nobody of a simulation, and of what comes behind it as before", () => {
    const { takes, end, told } = world();
    const running = group(ask(90, month(100, { alert })));
    takes(running);
    expect(takes(group(ask(60, month(100, { quiet: true }))))).toBe(false);
    expect(told()).toEqual([]);
    expect(takes(group(ask(1, month(100, { quiet: true }))))).toBe(true);
    end(running, 90);
    expect(told().toSorted((a, b) => a - b)).toEqual([50, 80]);
  });

  it("tells what was reached while nobody wanted to know, once somebody does", () => {
    const { takes, end, told } = world();
    const quiet = group(ask(60, month(100)));
    takes(quiet);
    end(quiet, 60);
    expect(takes(group(ask(60, month(100))))).toBe(false);
    expect(told()).toEqual([]);
    expect(takes(group(ask(60, month(100, { alert }))))).toBe(false);
    expect(told()).toEqual([100]);
  });

  it("tells of a budget that is set again under ids of its own: its receiver drops none as known", () => {
    const { takes, end, forget, rows } = world();
    const told = (now: number) => {
      const one = group(ask(60, month(100, { alert })));
      takes(one, now);
      end(one, 60, now);
      return rows.alerts().map(([id]) => (rows.removeAlert(id), id));
    };
    const before = told(NOW);
    forget();
    const after = told(NOW + HOUR_MS);
    expect([before.length, after.length]).toEqual([1, 1]);
    expect(after).not.toEqual(before);
  });

  it("begins at nothing when a budget is removed and set again", () => {
    const { takes, end, read, forget } = world();
    const one = group(ask(10, month(10)));
    takes(one);
    forget();
    end(one, 10);
    expect(read(month(10))).toMatchObject({ settled: 0, reserved: 0 });
    const [before, held] = [group(ask(5, month(100))), group(ask(6, month(100)))];
    for (const each of [before, held]) takes(each);
    end(before, 5, NOW, true);
    forget();
    const next = group(ask(20, month(100)));
    takes(next);
    end(next, 20);
    end(before, 0);
    end(held, 6);
    expect(read(month(100))).toMatchObject({ settled: 20, reserved: 0 });
  });
});
