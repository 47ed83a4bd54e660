/** `budgets`, `usage` and `scaling` against a gateway that answers as this one does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { useGateway } from "../test-gateway.ts";
import { runCli } from "../test-io.ts";
import type { Ran } from "../test-io.ts";

const home = mkdtempSync(join(tmpdir(), "edgeplane-budgets-"));
const gateway = useGateway();
const { answers, asked } = gateway;

afterAll(() => rmSync(home, { recursive: true, force: true }));

const cli = async (...args: string[]): Promise<Ran> => {
  const env = { HOME: home, EDGEPLANE_URL: gateway.url, EDGEPLANE_API_KEY: "key", EDGEPLANE_ADMIN_KEY: "adm" };
  return runCli(args, { env, cwd: home });
};
const budget = {
  ...{ scope: "account", of: "acme", period: "month", kind: "hard", currency: "USD", limit_nano: 12_500_000_000 },
  ...{ spent_nano: 13_000_000_001, reserved_nano: 0, left_nano: -500_000_001, left: "", webhook: null },
  ...{ period_start: "2026-11-01T00:00:00.000Z", period_end: "2026-12-01T00:00:00.000Z" },
};

test("budgets are listed: one's own, and any account's by the operator", async () => {
  answers.set("GET /v1/budgets", { results: [budget] });
  const own = await cli("budgets");
  expect(own.stdout.split("\n")[1]).toBe(
    "account  acme  month   hard  12.500000  13.000000  0.000000  -0.500000  USD       2026-12-01T00:00:00.000Z",
  );
  answers.set("GET /admin/v1/budgets?account=acme", { results: [] });
  expect((await cli("budgets", "list", "--account", "acme")).stdout).toContain("no budgets");
});

test("a budget is set by its amount, exactly, and removed", async () => {
  const path = "/admin/v1/budgets/model/acme%2Fecho/day";
  answers.set(`PUT ${path}`, budget);
  answers.set(`DELETE ${path}`, {});
  expect((await cli("budgets", "set", "model", "acme/echo", "day", "12.50", "--kind", "soft")).code).toBe(0);
  expect(asked[0]?.body).toEqual({ limit_nano: 12_500_000_000, currency: "USD", kind: "soft", webhook: null });
  expect((await cli("budgets", "remove", "model", "acme/echo", "day")).code).toBe(0);
  for (const wrong of ["12,5", "-", "1e9", "0.0000000001"])
    expect(await cli("budgets", "set", "account", "acme", "day", wrong)).toMatchObject({ code: 2 });
  expect(await cli("budgets", "set", "nobody", "acme", "day", "1")).toMatchObject({ code: 2 });
  expect(asked).toHaveLength(2);
});

test("a budget of a caller with tokens says its account, and a balance who is told that it runs low", async () => {
  const path = "/admin/v1/budgets/key/jwt%3Alogin%3Aada/day";
  answers.set(`PUT ${path}`, budget);
  answers.set("PUT /admin/v1/accounts/acme/balance", { ...budget, period: "balance", period_end: null });
  expect((await cli("budgets", "set", "key", "jwt:login:ada", "day", "1", "--account", "acme")).code).toBe(0);
  expect(asked[0]?.body).toMatchObject({ limit_nano: 1_000_000_000, account: "acme" });
  const webhook = "https://example.com/alerts";
  expect((await cli("budgets", "alerts", "acme", "--webhook", webhook, "--below", "2.5")).code).toBe(0);
  expect(asked[1]?.body).toEqual({ webhook, alert_below_nano: 2_500_000_000 });
  expect((await cli("budgets", "alerts", "acme")).code).toBe(0);
  expect(asked[2]?.body).toEqual({ webhook: null, alert_below_nano: 0 });
});

test("a balance is topped up under the payment's key", async () => {
  answers.set("POST /admin/v1/accounts/acme/balance", { ...budget, period: "balance", period_end: null });
  const { code } = await cli("budgets", "top-up", "acme", "0.000000007", "--idempotency-key", "i7", "--why", "invoice");
  expect(code).toBe(0);
  expect(asked[0]).toMatchObject({
    headers: { "idempotency-key": "i7" },
    body: { amount_nano: 7, currency: "USD", why: "invoice" },
  });
  expect((await cli("budgets", "top-up", "acme", "1", "--why", "no key")).code).toBe(2);
});

test("a balance is removed by the name that the list has for it, and is no period of a budget", async () => {
  answers.set("DELETE /admin/v1/accounts/acme/balance", {});
  expect((await cli("budgets", "remove", "account", "acme", "balance")).code).toBe(0);
  expect(asked.map(({ url }) => url)).toEqual(["/admin/v1/accounts/acme/balance"]);
  expect(await cli("budgets", "remove", "key", "k", "balance")).toMatchObject({ code: 2 });
  expect(await cli("budgets", "set", "account", "acme", "balance", "1")).toMatchObject({ code: 2 });
  expect(asked).toHaveLength(1);
});

test("usage is shown by what it is grouped by, all pages of it", async () => {
  const sum = {
    ...{ from: "2026-11-29T00:00:00.000Z", closed: false, model: "acme/echo", key: "k", device: null },
    ...{
      deployment: null,
      phase: null,
      requests: 3,
      billed: 2,
      gpu_us: 1_500_000,
      cost: "0.001000000",
      currency: "USD",
    },
  };
  answers.set("GET /v1/usage?by=day&group=model%2Ckey", { results: [sum], next_cursor: "c" });
  const other = { ...sum, model: "acme/other", cost: "0.000000000", currency: null };
  answers.set("GET /v1/usage?by=day&group=model%2Ckey&cursor=c", { results: [other], next_cursor: null });
  const { stdout } = await cli("usage", "--group", "model,key");
  expect(stdout.split("\n").slice(1, 3)).toEqual([
    "2026-11-29  acme/echo   k    3         2       1.500     0.001000000  USD",
    "2026-11-29  acme/other  k    3         2       1.500     –            –",
  ]);
  answers.set("GET /admin/v1/usage?by=month&group=model&account=overhead", { results: [sum] });
  expect((await cli("usage", "--by", "month", "--account", "overhead")).stdout).toContain("2026-11  acme/echo");
});

test("margin is shown by model and currency, overhead under its name", async () => {
  const line = { from: "2026-11-01T00:00:00.000Z", line: "model", model: "acme/echo", requests: 3 };
  const times = { attempt_us: 1_500_000, instance_us: 500_000, unpriced_us: 0 };
  const amounts = [{ currency: "USD", revenue: "0.003", rent: "0.002", margin: "0.001" }];
  answers.set("GET /admin/v1/usage/margin?by=month&from=2026-11-01", {
    by: "month",
    results: [
      { ...line, ...times, amounts },
      { ...line, ...times, line: "overhead", model: null, requests: 0, unpriced_us: 2_000_000, amounts: [] },
    ],
  });
  const { code, stdout } = await cli("usage", "margin", "--by", "month", "--from", "2026-11-01");
  expect(code).toBe(0);
  expect(stdout.split("\n").slice(1, 3)).toEqual([
    "2026-11  acme/echo  3         2.000     0.000           0.003    0.002  0.001   USD",
    "2026-11  overhead   0         2.000     2.000           –        –      –       –",
  ]);
});

test("scaling is told as it is, with the reasons", async () => {
  const why = "2 wait for 4 s";
  const [hardware, state] = ["nvidia-h200", "running"];
  answers.set("GET /admin/v1/scaling", {
    ...{ is_on: true, currency: "USD", spent: "1.500000000", models: [], counts: {} },
    classes: [{ hardware, wanted: 2, there: 1, starting: 1, draining: 0, why, spent: "1.500000000" }],
    machines: [
      { id: "m1", hardware, provider: "runpod-a", offer: "o", state, why, age_s: 60, cost: "0.5", session: null },
    ],
    providers: [{ name: "runpod-a", kind: "runpod", is_here: false, offers: 3, balance: null, problem: "no answer" }],
  });
  const { stdout } = await cli("scaling");
  expect(stdout).toContain("spent this month: 1.500000000 USD");
  expect(stdout).toContain("nvidia-h200  2       1      1         0         1.500000000  2 wait for 4 s");
  expect(stdout).toContain("runpod-a  runpod  away   3       –        no answer");
  answers.set("GET /admin/v1/scaling", {
    is_on: false,
    currency: "USD",
    spent: "0",
    classes: [],
    models: [],
    machines: [],
    providers: [],
  });
  expect((await cli("scaling")).stderr).toContain("scaling is off");
});
