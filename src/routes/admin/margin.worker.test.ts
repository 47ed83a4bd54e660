import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { callJson, newKey, testEnv } from "../../../test/worker/edge-harness.ts";
import { DAY_MS, dayOf } from "../../metering/calendar.ts";
import type { AttemptRecord, IntervalRecord, MeterRecord } from "../../metering/record.ts";
import { ALL_ACCOUNTS } from "../../metering/totals.ts";
import { ScalerStore } from "../../scaling/object/rows.ts";
import { objectSql } from "../../shard/object-sql.ts";

const ADMIN = testEnv.ADMIN_KEY ?? "";
const NOW = Date.now();
const numbers = new Map<string, number>();

function attempt(id: string, overrides: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    ...{ v: 2, kind: "attempt", id: `${id}.1`, at: NOW, account: "a", deployment: null, device: "NVIDIA H200" },
    ...{ gpuUs: 2_000_000, flags: [], prediction: id, attempt: 1, key: "k", model: "margin/a", version: "v" },
    ...{ queuedMs: 1, runMs: 2, units: { tokens: 3 }, outcome: "succeeded", cached: false, billed: true },
    ...{ costNano: 5_000_000, currency: "USD", price: "1" },
    ...overrides,
  };
}
function interval(id: string, overrides: Partial<IntervalRecord>): IntervalRecord {
  return {
    ...{ v: 2, kind: "instance.interval", id, at: NOW, account: "overhead", deployment: null, device: "NVIDIA H200" },
    ...{ gpuUs: 1_000_000, flags: [], instance: "i", model: null, version: null, phase: "unused", fromMs: 0, toMs: 1 },
    ...overrides,
  };
}
const meterOf = (account: string) => testEnv.METER.getByName(account);
async function take(account: string, records: MeterRecord[]): Promise<void> {
  const from = numbers.get(account) ?? 1;
  numbers.set(account, from + records.length);
  const numbered = records.map((record, n) => ({ n: from + n, record: { ...record, account } }));
  await meterOf(account).take(account, { source: "shard-3", records: numbered });
}
async function restart(name: string): Promise<void> {
  await runInDurableObject(meterOf(name), (_, state) => state.abort("a restart")).catch(() => {});
}
/** The meter's alarm, as if what waits had waited long enough. */
async function leave(account: string): Promise<void> {
  await restart(account);
  await runDurableObjectAlarm(meterOf(account));
}
async function margin(query = ""): Promise<Record<string, unknown>[]> {
  const { status, body } = await callJson(`/admin/v1/usage/margin${query}`, { key: ADMIN });
  expect(status).toBe(200);
  return body["results"] as Record<string, unknown>[];
}
const amounts = (revenue: number, rent: number, currency = "USD") =>
  expect.objectContaining({
    ...{ currency, revenue_nano: String(revenue), rent_nano: String(rent), margin_nano: String(revenue - rent) },
  }) as unknown;

async function setRents(perSecondNano: Record<string, number>): Promise<void> {
  const { settings } = (await callJson("/admin/v1/settings", { key: ADMIN })).body as { settings: object };
  const rents = { currency: "USD", per_second_nano: perSecondNano };
  const body = { why: "rents", settings: { ...settings, rents } };
  expect((await callJson("/admin/v1/settings", { method: "POST", key: ADMIN, body })).status).toBe(201);
}

/** What the scaler has paid, as it finds it when it starts. */
async function setPaid(): Promise<void> {
  const scaler = () => testEnv.SCALER.getByName("scaler");
  await runInDurableObject(scaler(), (_, { storage }) => {
    const paid = { hardware: "scaled-card", devices: 2, pricePerHourNano: 2 * 7 * 3600 };
    new ScalerStore(objectSql(storage)).rented("GBP", paid);
  });
  await runInDurableObject(scaler(), (_, state) => state.abort("a restart")).catch(() => {});
}

it("sums all accounts' revenue and rent by model, each record once, whoever dies in between", async () => {
  await setRents({ "nvidia-h200": 1_000_000, "small card": 10 });
  await setPaid();
  await take("margin-1", [attempt("m1"), attempt("m2", { model: "margin/b", device: "small card", currency: "EUR" })]);
  await take("margin-2", [
    attempt("m3"),
    attempt("m4", { model: "margin/b", device: "unknown", billed: false, costNano: 0 }),
  ]);
  await take("overhead", [
    interval("s.1", { phase: "idle", model: "margin/a", version: "v" }),
    interval("s.2", { phase: "boot", device: "nvidia-h200", model: "margin/a" }),
    interval("s.3", { device: "nvidia-h200" }),
    interval("s.4", { device: "Scaled Card" }),
  ]);
  expect(await margin()).toEqual([]);
  await leave("margin-2");
  await leave("overhead");

  // The first meter tells, dies before its rows went, and tells again with what came meanwhile.
  const sqlOf = <T>(run: (sql: SqlStorage) => T) =>
    runInDurableObject(meterOf("margin-1"), (_, { storage }) => run(storage.sql));
  const rows = await sqlOf((sql) => sql.exec("SELECT n, month, lines FROM raw").toArray());
  await leave("margin-1");
  await sqlOf((sql) => {
    for (const { n, month, lines } of rows) sql.exec("INSERT INTO raw VALUES (?, ?, ?)", n, month, lines);
  });
  // A correction for a month that is closed counts today.
  const correction = { at: NOW - 70 * DAY_MS, gpuUs: -500_000, costNano: -1_000_000 };
  await take("margin-1", [attempt("m1", { ...correction, id: "m1.1.correction", flags: ["correction"] })]);
  await restart(ALL_ACCOUNTS);
  await leave("margin-1");

  const from = new Date(dayOf(NOW)).toISOString();
  const expected = [
    {
      ...{ from, line: "model", model: "margin/a", requests: 2, attempt_us: 3_500_000, instance_us: 1_000_000 },
      ...{ unpriced_us: 0, amounts: [amounts(9_000_000, 4_500_000)] },
    },
    {
      ...{ from, line: "model", model: "margin/b", requests: 2, attempt_us: 4_000_000, instance_us: 0 },
      ...{ unpriced_us: 2_000_000, amounts: [amounts(5_000_000, 0, "EUR"), amounts(0, 20)] },
    },
    {
      ...{ from, line: "overhead", model: null, requests: 0, attempt_us: 0, instance_us: 3_000_000 },
      ...{ unpriced_us: 0, amounts: [amounts(0, 7, "GBP"), amounts(0, 2_000_000)] },
    },
  ];
  expect(await margin()).toEqual(expected);
  const [byMonth] = await margin("?by=month");
  expect(byMonth).toMatchObject({ model: "margin/a", amounts: [{ margin: "0.004500000" }] });
  expect(await margin("?from=2026-01-01&to=2026-01-02")).toEqual([]);

  // What was used goes by the rents of then, told before they changed or after; what had none, by those of now.
  await take("margin-1", [attempt("m5", { model: "margin/c" })]);
  await setRents({ "nvidia-h200": 3_000_000, unknown: 4 });
  await take("margin-1", [attempt("m6", { model: "margin/c" })]);
  await leave("margin-1");
  const rentNano = 2 * 1_000_000 + 2 * 3_000_000;
  const third = { line: "model", model: "margin/c", unpriced_us: 0, amounts: [amounts(10_000_000, rentNano)] };
  const [first, second, ...others] = expected;
  const asKnown = { ...second, unpriced_us: 0, amounts: [amounts(5_000_000, 0, "EUR"), amounts(0, 20 + 2 * 4)] };
  expect(await margin()).toEqual([first, asKnown, expect.objectContaining(third), ...others]);
});

it("tells no client, and refuses too many days", async () => {
  const key = await newKey("margin-client");
  expect((await callJson("/admin/v1/usage/margin", { key })).status).toBe(401);
  const many = await callJson("/admin/v1/usage/margin?from=2026-01-01&to=2026-06-01", { key: ADMIN });
  expect(many.status).toBe(400);
  expect(JSON.stringify(many.body)).toContain("62 days at most");
  expect((await callJson("/admin/v1/usage/margin?by=hour", { key: ADMIN })).status).toBe(400);
});
