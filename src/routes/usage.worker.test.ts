import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, newKey, testEnv } from "../../test/worker/edge-harness.ts";
import { dayOf, HOUR_MS } from "../metering/calendar.ts";
import type { AttemptRecord, MeterRecord } from "../metering/record.ts";

const ADMIN = testEnv.ADMIN_KEY ?? "";
/** One time for all records: no midnight comes between two of them. */
const NOW = Date.now();
let key = "";
let account = "";
let other = "";

function attempt(n: number, overrides: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    ...{ v: 2, kind: "attempt", id: `u${n}.1`, at: NOW, account, deployment: null, device: "cpu", gpuUs: 1500 },
    ...{ flags: [], prediction: `u${n}`, attempt: 1, key: "key-1", model: "o/n", version: "v", queuedMs: 1, runMs: 2 },
    ...{ units: { tokens: 3 }, outcome: "succeeded", cached: false, billed: true, costNano: 1_250_000 },
    ...{ currency: "USD", price: "1" },
    ...overrides,
  };
}
const take = (name: string, records: MeterRecord[]) =>
  testEnv.METER.getByName(name).take(name, {
    source: "shard-3",
    records: records.map((record, n) => ({ n: n + 1, record })),
  });

async function accountOf(name: string): Promise<string> {
  const { body } = await callJson("/admin/v1/accounts?limit=1000", { key: ADMIN });
  const found = (body["results"] as { id: string; name: string }[]).find((one) => one.name === name);
  return found?.id ?? "";
}

beforeAll(async () => {
  key = await newKey("used-much");
  account = await accountOf("used-much");
  other = await newKey("used-nothing");
  await take(account, [
    attempt(1),
    attempt(2, { model: "o/m", key: "key-2", deployment: "o/d" }),
    attempt(3, { model: "o/m", billed: false, costNano: 0, device: 'a "quoted", =device' }),
  ]);
});

describe("GET /v1/usage", () => {
  it("tells the account's sums, in pages", async () => {
    const first = await callJson("/v1/usage?group=model&limit=1", { key });
    expect(first.status).toBe(200);
    expect(first.body["results"]).toEqual([
      {
        ...{ from: new Date(dayOf(NOW)).toISOString(), closed: false, model: "o/m", key: null, device: null },
        ...{ deployment: null, phase: null, requests: 2, billed: 1, queued_ms: 2, run_ms: 4, gpu_us: 3000 },
        ...{ instance_us: 0, units: { tokens: 6 }, cost_nano: "1250000", cost: "0.001250000", currency: "USD" },
      },
    ]);
    const cursor = String(first.body["next_cursor"]);
    const next = await callJson(`/v1/usage?group=model&limit=1&cursor=${cursor}`, { key });
    expect(next.body).toMatchObject({ results: [{ model: "o/n", requests: 1 }], next_cursor: null });
  });

  it("tells what fits alone, by hour and by month", async () => {
    const byHour = await callJson("/v1/usage?by=hour&key=key-2&group=key,deployment", { key });
    expect(byHour.body["results"]).toMatchObject([{ key: "key-2", deployment: "o/d", requests: 1 }]);
    const byMonth = await callJson("/v1/usage?by=month", { key });
    expect(byMonth.body["results"]).toMatchObject([{ requests: 3, gpu_us: 4500 }]);
  });

  it("tells nobody of another's", async () => {
    expect((await callJson("/v1/usage", { key: other })).body).toEqual({ by: "day", results: [], next_cursor: null });
    expect((await callJson("/v1/usage", {})).status).toBe(401);
    const scoped = await newKey("used-much", { scopes: ["predictions:read"] });
    expect((await callJson("/v1/usage", { key: scoped })).status).toBe(403);
  });

  it.each([
    ["by=week", "by"],
    ["group=model,color", "group"],
    ["from=2026-11-02&to=2026-11-01", "`to` must be later"],
    ["cursor=nonsense", "`cursor` is not one of this query"],
    ["from=yesterday", "must be a time such as"],
  ])("says what is wrong with %s", async (query, says) => {
    const { status, body } = await callJson(`/v1/usage?${query}`, { key });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain(says);
  });

  it("takes no cursor of another query", async () => {
    const { body } = await callJson("/v1/usage?group=model&limit=1", { key });
    const { status } = await callJson(`/v1/usage?group=model,key&cursor=${String(body["next_cursor"])}`, { key });
    expect(status).toBe(400);
  });

  it("is a table of FOCUS for who wants one, whose costs add up", async () => {
    const answer = await call("/v1/usage", { key, headers: { accept: "text/csv" } });
    expect(answer.headers.get("content-type")).toContain("text/csv");
    const lines = (await answer.text()).split("\r\n");
    expect(lines[0]).toContain("BilledCost,BillingAccountId");
    expect(lines).toHaveLength(5);
    const costs = lines.slice(1, -1).map((line) => Number(line.split(",")[0]));
    expect(costs.reduce((sum, cost) => sum + cost, 0)).toBeCloseTo(0.0025, 12);
    expect(lines.some((line) => line.includes('a ""quoted"", =device'))).toBe(true);
    expect(lines[1]).toContain(account);
    const hours = await call("/v1/usage?by=hour", { key, headers: { accept: "text/csv" } });
    const hour = new Date(NOW - (NOW % HOUR_MS)).toISOString().replace(".000Z", "Z");
    const rows = (await hours.text()).split("\r\n").slice(1, -1);
    for (const row of rows) expect(row).toContain(hour);
    for (const named of ["key-1", "key-2", "o/m", "o/n"]) expect(rows.some((row) => row.includes(named))).toBe(true);
  });
});

describe("GET /admin/v1/usage", () => {
  it("tells any account's, and the overhead", async () => {
    const { body } = await callJson(`/admin/v1/usage?account=${account}&by=month`, { key: ADMIN });
    expect(body["results"]).toMatchObject([{ requests: 3, cost_nano: "2500000" }]);
    const byName = await callJson("/admin/v1/usage?account=used-much&by=month", { key: ADMIN });
    expect(byName.body).toEqual(body);
    expect((await callJson("/admin/v1/usage?account=overhead", { key: ADMIN })).status).toBe(200);
  });

  it("tells no client, and knows no account that isn't there", async () => {
    expect((await callJson(`/admin/v1/usage?account=${account}`, { key })).status).toBe(401);
    expect((await callJson("/admin/v1/usage?account=nobody", { key: ADMIN })).status).toBe(404);
    expect((await callJson("/admin/v1/usage", { key: ADMIN })).status).toBe(400);
  });
});

it("has a page that anyone may open", async () => {
  const page = await call("/docs/usage");
  expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  expect(await page.text()).toContain("<h1>Usage</h1>");
});
