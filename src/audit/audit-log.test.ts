import { describe, expect, it, vi } from "vitest";
import { aVerdict } from "../../plugins/kernel/conformance.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { AuditRecordSchema } from "../contract/published.ts";
import type { LogRecord } from "../log/types.ts";
import type { AuditCounts } from "../telemetry/audit-counts.ts";
import { createAuditLog } from "./audit-log.ts";

const MAX_WAITING = 5000;

/** An audit log whose sleeps the test ends, one after the other. */
function setUp(produce: (records: LogRecord[]) => Promise<unknown>) {
  const clock = { now: 0 };
  const sleeps: { ms: number; wake: () => void }[] = [];
  const runs: Promise<unknown>[] = [];
  const counts: AuditCounts = { published: 0, dropped: 0 };
  const audit = createAuditLog({
    now: () => clock.now,
    sleep: (ms) => new Promise((resolve) => void sleeps.push({ ms, wake: resolve })),
    produce,
    background: (work) => void runs.push(work),
    count: (outcome, count) => void (counts[outcome] += count),
  });
  /** Time goes on until nobody sleeps any more, or `limitMs` have passed. */
  const pass = async (limitMs = Infinity) => {
    const end = clock.now + limitMs;
    for (;;) {
      await new Promise((resolve) => void setImmediate(resolve));
      const next = sleeps.shift();
      if (next === undefined) return;
      clock.now += next.ms;
      if (clock.now > end) return;
      next.wake();
    }
  };
  return { audit, clock, runs, counts, pass };
}

const idsOf = (records: readonly LogRecord[]) =>
  records.map(({ value }) => AuditRecordSchema.parse(JSON.parse(value)).id);

describe("the audit log", () => {
  it("sends what comes together in one batch, behind the answer", async () => {
    const produced: LogRecord[][] = [];
    const { audit, runs, counts, pass } = setUp(async (records) => produced.push(records));
    for (const id of ["a", "b", "c"]) audit.note(aVerdict({ id }));
    expect([produced, runs.length]).toEqual([[], 1]);
    await pass();
    expect(produced.map(idsOf)).toEqual([["a", "b", "c"]]);
    audit.note(aVerdict({ id: "d", accountId: null }));
    await pass();
    expect([runs.length, counts]).toEqual([2, { published: 4, dropped: 0 }]);
    expect(produced.flat().map(({ topic, key }) => [topic, key])).toEqual([
      ...["account-1", "account-1", "account-1", "unknown"].map((key) => ["audit", key]),
    ]);
  });

  it("says who, what and when, and cuts what is long", async () => {
    const produced: LogRecord[] = [];
    const { audit, pass } = setUp(async (records) => produced.push(...records));
    audit.note(aVerdict({ id: "a", findings: [{ category: "x".repeat(300), rule: "r" }] }));
    await pass();
    const record = AuditRecordSchema.parse(JSON.parse(produced[0]?.value ?? ""));
    expect(record).toMatchObject({
      ...{ id: "a", at: 1_700_000_000_000, settings: 1, plugin: "a-guard", phase: "screenInput", action: "reject" },
      ...{ code: "rejected_by_policy", account: "account-1", credential: "key-1", request: "request-1" },
      ...{ prediction: "00000000000000000000000000", model: "acme/echo", findings: [{ category: "x".repeat(100) }] },
    });
  });

  it("keeps what the log does not take, in order, and goes on with it later", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const produced: string[] = [];
    let isAway = true;
    const { audit, counts, runs, pass } = setUp(async (records) => {
      if (isAway) throw new Error("the log is away");
      produced.push(...idsOf(records));
    });
    audit.note(aVerdict({ id: "a" }));
    await pass();
    // The run ended with its request; another look at the settings, or verdict, begins the next.
    audit.goOn();
    audit.note(aVerdict({ id: "b" }));
    isAway = false;
    await pass();
    expect([produced, counts, runs.length]).toEqual([["a", "b"], { published: 2, dropped: 0 }, 2]);
    audit.goOn();
    expect(runs).toHaveLength(2);
  });

  it("takes up what a run had that ended with its request, in the middle", async () => {
    const produced: string[][] = [];
    const never = new Promise<never>(() => {});
    const { audit, clock, pass } = setUp(async (records) => {
      produced.push(idsOf(records));
      return produced.length === 1 ? never : null;
    });
    audit.note(aVerdict({ id: "a" }));
    await pass();
    audit.note(aVerdict({ id: "b" }));
    await pass();
    expect(produced).toEqual([["a"]]);
    clock.now += 60_000;
    audit.note(aVerdict({ id: "c" }));
    await pass();
    expect(produced).toEqual([["a"], ["a", "b", "c"]]);
  });

  it("drops what is beyond its bound, and what the log refuses for good, and counts it", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    let published = 0;
    const { audit, counts, pass } = setUp(async (records) => {
      if (idsOf(records).includes("refused")) throw new EdgeplaneError("payload_too_large", "no");
      published += records.length;
    });
    audit.note(aVerdict({ id: "refused" }));
    for (let nth = 0; nth < MAX_WAITING + 9; nth += 1) audit.note(aVerdict());
    expect(counts).toEqual({ published: 0, dropped: 10 });
    await pass();
    expect([counts, published]).toEqual([{ published: MAX_WAITING - 1, dropped: 11 }, MAX_WAITING - 1]);
  });
});
