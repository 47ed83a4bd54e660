/**
 * Upgrades under load, from the release before to today's and back: of the edge by SIGTERM and by SIGKILL, of pools by
 * drain and restart, each on what the other left on disk. Nothing is lost, nothing ends or runs twice, nobody waits for
 * ever.
 */
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, it, onTestFinished } from "vitest";
import * as z from "zod";
import { createBackup, restoreBackup } from "../../../scripts/lib/backup.ts";
import { shardSchema } from "../../../src/shard/schema.ts";
import { createClient, isFinished } from "../../chaos/harness/client.ts";
import type { Client, View } from "../../chaos/harness/client.ts";
import { judge } from "../../chaos/harness/ledger.ts";
import { startLoad } from "../../chaos/harness/load.ts";
import type { Load } from "../../chaos/harness/load.ts";
import { startReceiver } from "../../chaos/harness/receiver.ts";
import type { Receiver } from "../../chaos/harness/receiver.ts";
import { delivered, gather, within } from "../../chaos/harness/run-scenario.ts";
import { outputOf, pacePerSecond } from "../../chaos/harness/scenario.ts";
import type { Job, Scenario } from "../../chaos/harness/scenario.ts";
import { openSite } from "./site.ts";
import type { Site } from "./site.ts";

const TEST_MS = 180_000;
const SETTLE_MS = 60_000;
const LONG_SECONDS = 10;
/** An output of so many characters leaves as a blob; an input does from 16 KiB on. */
const LARGE_OUTPUT = 300_000;
const LARGE_INPUT = 50_000;

let site: Site;
let receiver: Receiver | null = null;

afterEach(async () => {
  await site?.end();
  await receiver?.stop();
  receiver = null;
});

it(
  "loses nothing while edge and pools change between releases, one after the other",
  { timeout: TEST_MS },
  async () => {
    [site, receiver] = await Promise.all([openSite("before"), startReceiver()]);
    await Promise.all([site.startPool("first", "before"), site.startPool("second", "today")]);
    const patience = new AbortController();
    const senders = await Promise.all([
      startSender("local", 300, { model: "echo" }, patience.signal),
      startSender("second", 120, { model: "trial", job: trial }, patience.signal),
      startSender("third", 120, { model: "echo" }, patience.signal),
    ]);
    const long = Promise.all(["long-0", "long-1"].map((key) => runLong(senders[0].client, key)));
    const reached = (share: number) => Promise.all(senders.map(({ load }) => load.reached(share)));

    await reached(0.1);
    await site.changeEdge("today", "stop");
    await reached(0.25);
    await site.changeEdge("before", "kill");
    await reached(0.4);
    await site.changeEdge("today", "kill");
    await reached(0.55);
    await site.changePool("first", "today");
    await reached(0.7);
    await site.changePool("second", "before");

    const ended = Promise.all([long, ...senders.flatMap(({ load }) => [load.sent, load.done])]);
    await within(ended, SETTLE_MS);
    const traces = senders.flatMap(({ load }) => load.traces);
    await delivered(traces);
    const evidence = await Promise.all(senders.map(({ client, load }) => gather(client, site.runs(), load.traces)));
    const { problems, lost, twice, stuck, succeeded } = judge(evidence.flat(), []);
    console.log(`upgrade │ under load: succeeded ${succeeded}, lost ${lost}, twice ${twice}, stuck ${stuck}`);
    expect(problems, [...problems.slice(0, 8), ...site.lastLines(40)].join("\n")).toEqual([]);
    expect(succeeded).toBe(540);
    for (const { status, output, attempt, id } of await long) {
      expect([status, output]).toEqual(["succeeded", expect.stringMatching(/^long-\d$/)]);
      expect(site.runs().get(String(output))?.length, id).toBeLessThanOrEqual(attempt);
    }
    patience.abort();
    expect(numbersOf(site.stateDir)).toEqual([shardSchema.steps.length]);
  },
);

it("goes on from a copy that was made of the release before while it ran", { timeout: TEST_MS }, async () => {
  [site, receiver] = await Promise.all([openSite("before"), startReceiver()]);
  const elsewhere = mkdtempSync(join(tmpdir(), "edgeplane-copy-"));
  onTestFinished(() => rmSync(elsewhere, { recursive: true, force: true }));
  const patience = new AbortController();
  await site.startPool("first", "before");
  const ended = await startSender("local", 18, { model: "trial", job: trial, loadSeconds: 1 }, patience.signal);
  await ended.load.done;
  await site.stopPool("first");
  const waits = await startSender("second", 18, { model: "echo", loadSeconds: 1 }, patience.signal);
  await waits.load.sent;
  const { apiKey } = site.credentials;
  await createBackup(site.stateDir, join(elsewhere, "copy"), () => {});
  patience.abort();
  await site.end();

  await restoreBackup(join(elsewhere, "copy"), join(elsewhere, "state"));
  site = await openSite("today", join(elsewhere, "state"));
  expect(site.credentials.apiKey).toBe(apiKey);
  await site.startPool("first", "today");
  const signal = AbortSignal.timeout(SETTLE_MS);
  for (const [{ apiKey: key }, { traces }] of [
    [ended, ended.load],
    [waits, waits.load],
  ] as const) {
    const client = createClient(site.url, key, signal);
    for (const trace of traces) {
      const view = await finished(client, trace.accepted?.id ?? "");
      expect([view.status, view.output]).toEqual(["succeeded", outputOf(trace.key, trace.number, trace.tail)]);
      if (trace.finished !== null) expect(view.completed_at).toBe(trace.finished.completed_at);
    }
  }
});

it.each([
  ["before", "today"],
  ["today", "before"],
] as const)(
  "delivers what a pool of %s could not, once one of %s runs in its place",
  { timeout: TEST_MS },
  async (from, to) => {
    site = await openSite("today");
    await site.startPool("first", from, 10_000);
    const client = createClient(site.url, site.credentials.apiKey, AbortSignal.timeout(TEST_MS));
    const keys = Array.from({ length: 6 }, (_, index) => `kept-${index}`);
    const made = await Promise.all(
      keys.map((key, number) => client.create(key, { version: "local/trial", input: { key, number, seconds: 1 } })),
    );
    await expect.poll(() => site.runs().size).toBeGreaterThanOrEqual(keys.length);
    await site.stopEdge("kill");
    await site.stopPool("first");
    expect(site.lastLines(20).join("\n")).toMatch(/drained undelivered=[1-9]/);
    await Promise.all([site.startEdge("today"), site.startPool("first", to)]);
    for (const [index, { id }] of made.entries()) {
      const key = keys[index] ?? "";
      expect(await finished(client, id)).toMatchObject({
        status: "succeeded",
        output: outputOf(key, index),
        attempt: 1,
      });
      expect(site.runs().get(key)).toHaveLength(1);
    }
  },
);

/** Every fourth brings a large input, every sixth has a large output; all take their time, so that many wait. */
function trial(_key: string, index: number): Job {
  const tail = index % 6 === 0 ? LARGE_OUTPUT : 0;
  const padding = index % 4 === 0 ? "~".repeat(LARGE_INPUT) : "";
  return { input: { seconds: 0.2, tail, padding }, fails: false, tail };
}

/** A load of an account's own. */
async function startSender(
  account: string,
  count: number,
  how: Pick<Scenario, "model" | "job" | "loadSeconds">,
  signal: AbortSignal,
): Promise<{ apiKey: string; client: Client; load: Load }> {
  const apiKey = account === "local" ? site.credentials.apiKey : await addAccount(account);
  const client = createClient(site.url, apiKey, signal);
  const scenario = { loadSeconds: 15, ...how, name: account, keys: `${account}-`, disturb: async () => [] };
  const receivers = receiver === null ? [] : [receiver];
  const perSecond = pacePerSecond(count, scenario.loadSeconds);
  return { apiKey, client, load: startLoad(client, scenario, { receivers, count, perSecond }) };
}

async function addAccount(name: string): Promise<string> {
  const admin = async (path: string, body: object) => {
    const headers = { authorization: `Bearer ${site.adminKey}`, "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    const response = await fetch(`${site.url}/admin/v1/${path}`, init);
    return z.looseObject({ key: z.string().default("") }).parse(await response.json());
  };
  await admin("accounts", { name });
  return (await admin("keys", { account: name, name })).key;
}

/** One that runs for longer than any of the changes takes. */
async function runLong(client: Client, key: string): Promise<View> {
  const { id } = await client.create(key, { version: "local/long", input: { key, seconds: LONG_SECONDS } });
  return finished(client, id);
}

async function finished(client: Client, id: string): Promise<View> {
  for (;;) {
    const view = await client.get(id);
    if (view === null) throw new Error(`${id} is not known any more`);
    if (isFinished(view)) return view;
  }
}

/** Which numbers the schemas of the shards' databases have. */
function numbersOf(stateDir: string): number[] {
  const files = globSync(join(stateDir, "edge/do/edgeplane-PredictionShard/*.sqlite"));
  const numbers = files.flatMap((file) => {
    if (file.endsWith("metadata.sqlite")) return [];
    const database = new DatabaseSync(file, { readOnly: true });
    const rows = database.prepare("SELECT version FROM object_schema").all();
    database.close();
    return rows.map(({ version }) => Number(version));
  });
  return [...new Set(numbers)];
}
