/** What `npm start` shows: a model without a machine gets one when somebody asks for it, and it goes again. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { callAdmin } from "../../../scripts/lib/local-accounts.ts";
import { SCALED_MODEL, startMachines } from "../../../scripts/lib/local-machines.ts";
import type { LocalMachines } from "../../../scripts/lib/local-machines.ts";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-zero-"));
const said: string[] = [];
let stack: Stack;
let machines: LocalMachines;

const SettingsSchema = z.object({ settings: z.looseObject({}) });
const ScalingSchema = z.looseObject({
  machines: z.array(z.looseObject({ state: z.string() })),
  classes: z.array(z.looseObject({ hardware: z.string(), why: z.string() })),
});
const UsageSchema = z.object({
  results: z.array(z.looseObject({ model: z.string().nullable(), billed: z.number(), cost: z.string() })),
});

const admin = (method: "GET" | "POST", path: string, body?: unknown) =>
  callAdmin(stack.url, stack.adminKey, method, path, body);
const scaling = async () => ScalingSchema.parse(await admin("GET", "scaling"));

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const headers = { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "wait=60" };
  const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
  return (await fetch(stack.url + path, init)).json();
}

/** As npm start has them made. */
function start(): Promise<LocalMachines> {
  const { signal } = new AbortController();
  return startMachines({ ...stack, stateDir, python: "python3", say, signal });
}
const say = (line: string): void => void said.push(line);

beforeAll(async () => {
  stack = await startStack({ stateDir, pool: false, say });
  // As npm start says it, but for how long a machine stays.
  const { settings } = SettingsSchema.parse(await admin("GET", "settings"));
  const cpu = { lanes: ["elastic"], max: 1, target_wait_s: 1, keep_alive_s: { min: 3, max: 4 } };
  const prices = { currency: "USD", default: { per_second_nano: { "*": 200_000 } } };
  await admin("POST", "settings", { settings: { ...settings, scaling: { classes: { cpu } }, prices }, why: "a test" });
  machines = await start();
});
afterAll(async () => {
  await machines?.stop();
  await stack?.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

it("goes from zero to one and back, and says what that took and cost", async () => {
  expect((await scaling()).machines).toStrictEqual([]);
  const prediction = await ask("POST", `/v1/models/${SCALED_MODEL}/predictions`, { input: { seconds: 0.5 } });
  expect(prediction, said.join("\n")).toMatchObject({ status: "succeeded" });
  expect((await scaling()).machines).toMatchObject([{ provider: "local" }]);
  await expect.poll(async () => (await scaling()).machines, { timeout: 60_000, interval: 250 }).toStrictEqual([]);
  expect(readdirSync(join(stateDir, "provider/machines"))).toStrictEqual([]);
  const usage = async () => UsageSchema.parse(await ask("GET", "/v1/usage?group=model")).results;
  const billed = { model: SCALED_MODEL, billed: 1, currency: "USD" };
  await expect.poll(usage, { timeout: 30_000 }).toMatchObject([billed]);
  expect(Number((await usage())[0]?.cost)).toBeGreaterThan(0.0000999);
});

it("keeps its token and its settings from start to start", async () => {
  const before = await Promise.all([admin("GET", "provider-tokens"), admin("GET", "settings")]);
  await machines.stop();
  machines = await start();
  expect(await Promise.all([admin("GET", "provider-tokens"), admin("GET", "settings")])).toStrictEqual(before);
});
