/**
 * Two releases over one store, as while a deployment is rolled out by percentages: both take requests, and the objects
 * run whichever. Each front has a pool of its own release and clients of its own; each also asks for what the other's
 * have.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { expect, it, onTestFinished } from "vitest";
import * as z from "zod";
import { migrate } from "../../../scripts/lib/d1-migrate.ts";
import { createPool } from "../../../scripts/lib/pool.ts";
import { findPython, freePort } from "../../../scripts/lib/preflight.ts";
import { bundleWorker } from "../../../scripts/lib/worker-bundle.ts";
import { readWorkerConfig } from "../../../scripts/lib/worker-config.ts";
import { createClient } from "../../chaos/harness/client.ts";
import type { Client } from "../../chaos/harness/client.ts";
import { judge } from "../../chaos/harness/ledger.ts";
import { startLoad } from "../../chaos/harness/load.ts";
import { pacePerSecond } from "../../chaos/harness/scenario.ts";
import { startReceiver } from "../../chaos/harness/receiver.ts";
import { delivered, gather, within } from "../../chaos/harness/run-scenario.ts";
import { notingIn, readHeldRuns, runsByKey } from "../../chaos/harness/held-devices.ts";
import { modelsDir } from "../../chaos/harness/world.ts";
import { releaseBefore } from "../../fixtures/release-before/open.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const releases = ["before", "today"] as const;
type Release = (typeof releases)[number];

const ADMIN_KEY = "ep_admin_test-admin-key-test-admin-key";
const TEST_MS = 120_000;
const SETTLE_MS = 60_000;
const COUNT = 60;
const AnswerSchema = z.looseObject({ key: z.string().default(""), token: z.string().default("") });
const ObjectsSchema = z.record(z.string(), z.looseObject({ className: z.string() }));

it.each(releases)(
  "goes on while both take requests and the objects run the one of %s",
  { timeout: TEST_MS },
  async (home) => {
    const dir = mkdtempSync(join(tmpdir(), "edgeplane-rollout-"));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const runsFile = join(dir, "runs");
    writeFileSync(runsFile, "");
    const urls = await startBoth(dir, home);
    const receiver = await startReceiver();
    onTestFinished(() => receiver.stop());

    const admin = (front: Release, path: string, body?: object) =>
      ask(`${urls[front]}/admin/v1/${path}`, ADMIN_KEY, body);
    await admin("before", "accounts", { name: "ada" });
    const { key } = AnswerSchema.parse(await admin("today", "keys", { account: "ada" }));
    const limits = { limits: [{ name: "minute", per: "account", limit: 100_000 }] };
    const plugins = {
      "api-key": {},
      "rate-limit": { config: limits },
      "response-cache": { config: { ttlMs: 60_000 } },
    };
    await admin("before", "settings", { settings: { plugins }, why: "as the release before publishes" });
    for (const front of releases) {
      const token = { name: front, lanes: ["default"], may_register_models: true };
      const made = AnswerSchema.parse(await admin(front, "pool-tokens", token));
      await startPool(front, { url: urls[front], token: made.token, dir, runsFile });
    }

    const patience = new AbortController();
    const loads = releases.map((front) => {
      const client = createClient(urls[front], key, patience.signal);
      const scenario = { name: front, model: "echo", keys: `${front}-`, disturb: async () => [] };
      const sent = { receivers: [receiver], count: COUNT, perSecond: pacePerSecond(COUNT, 5) };
      return { front, client, load: startLoad(client, scenario, sent) };
    });
    await Promise.all(loads.map(({ load }) => load.reached(0.3)));
    await admin("today", "settings", {
      settings: { plugins: { "api-key": {}, "rate-limit": { config: limits } } },
      why: "as today's",
    });
    await within(Promise.all(loads.flatMap(({ load }) => [load.sent, load.done])), SETTLE_MS);
    const traces = loads.flatMap(({ load }) => load.traces);
    await delivered(traces);

    const others: Record<Release, Client | undefined> = { before: loads[1]?.client, today: loads[0]?.client };
    const evidence = await Promise.all(
      loads.map(({ front, client, load }) =>
        gather(others[front] ?? client, runsByKey(readHeldRuns(runsFile)), load.traces),
      ),
    );
    const { problems, lost, twice, stuck, succeeded } = judge(evidence.flat(), []);
    console.log(`upgrade │ objects of ${home}: succeeded ${succeeded}, lost ${lost}, twice ${twice}, stuck ${stuck}`);
    expect(problems, problems.slice(0, 8).join("\n")).toEqual([]);
    expect(succeeded).toBe(2 * COUNT);

    for (const front of releases) {
      for (const path of ["metrics", "settings", "dead-letters", "pool-tokens", "log", "pools"]) {
        if (path !== "pools" || front === "today") await admin(front, path);
      }
      const id = traces[front === "before" ? COUNT : 0]?.accepted?.id ?? "";
      for (const path of ["predictions", "models/local/echo", `predictions/${id}`, `predictions/${id}/webhooks`]) {
        await ask(`${urls[front]}/v1/${path}`, key);
      }
      const body = { version: "local/long", input: { key: `stops-${front}`, seconds: 30 } };
      const made = z.looseObject({ id: z.string() }).parse(await ask(`${urls[front]}/v1/predictions`, key, body));
      const other = urls[front === "before" ? "today" : "before"];
      expect(await ask(`${other}/v1/predictions/${made.id}/cancel`, key, {})).toMatchObject({ id: made.id });
    }
    patience.abort();
  },
);

/** Both Workers in one workerd, over the newest tables; the objects are those of `home`. */
async function startBoth(dir: string, home: Release): Promise<Record<Release, string>> {
  const migrationsDir = join(root, "src/registry/migrations");
  const config = await readWorkerConfig(join(root, "wrangler.toml"), migrationsDir, join(dir, "config.json"));
  const bundles = { before: releaseBefore().edge.worker, today: await bundleWorker(config) };
  const blobs = join(dir, "blobs");
  mkdirSync(blobs);
  const ports = { before: await freePort(0), today: await freePort(0) };
  const workers = [...releases]
    .sort((a) => (a === home ? -1 : 1))
    .map((name) => {
      const bundle = { ...bundles.today, ...bundles[name] };
      const there = ObjectsSchema.parse(bundles[home].durableObjects);
      // What only the other release has, it runs itself.
      const elsewhere = Object.entries(ObjectsSchema.parse(bundle.durableObjects)).map(([binding, object]) =>
        binding in there ? [binding, { className: object.className, scriptName: home }] : [binding, object],
      );
      return {
        ...bundle,
        name,
        ...(name === home
          ? {}
          : { durableObjects: z.record(z.string(), z.any()).parse(Object.fromEntries(elsewhere)) }),
        bindings: {
          ...bundle.bindings,
          ...{
            ADMIN_KEY,
            SHARD_COUNT: "2",
            LOG_PARTITIONS: "4",
            ALLOW_LOOPBACK_TARGETS: "1",
            PUBLISH_TOPICS: "results,jobs.dlq",
          },
          EDGEPLANE_SECRET: "test-secret-test-secret-test-secret-test-secret",
        },
        serviceBindings: { ...bundle.serviceBindings, BLOB_CONTENT: { disk: { path: blobs, writable: true } } },
        unsafeDirectSockets: [{ host: "127.0.0.1", port: ports[name] }],
      };
    });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({ cf: false, telemetry: { enabled: false }, resourcePersistencePath: dir, workers }),
  );
  onTestFinished(() => miniflare.dispose());
  await miniflare.ready;
  await migrate(await miniflare.getD1Database("DB", home), config.migrations);
  return { before: `http://127.0.0.1:${ports.before}`, today: `http://127.0.0.1:${ports.today}` };
}

type PoolAt = { url: string; token: string; dir: string; runsFile: string };

async function startPool(release: Release, { url, token, dir, runsFile }: PoolAt): Promise<void> {
  const pool = createPool(
    {
      ...{ url, token, models: modelsDir, stateDir: join(dir, `pool-${release}`), python: await findPython() },
      ...(release === "before" ? { program: releaseBefore().pool } : {}),
      env: { ...notingIn(runsFile), EDGEPLANE_METRICS_PORT: "0", EDGEPLANE_ISOLATION: "off" },
    },
    (line) => process.env["CHAOS_VERBOSE"] === "1" && console.log(line),
    () => {},
  );
  onTestFinished(() => pool.stop());
  pool.start();
  await pool.offered;
}

/** What is answered; anything but a 2xx throws. */
async function ask(url: string, bearer: string, body?: object): Promise<unknown> {
  const response = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
  return text.startsWith("{") ? JSON.parse(text) : text;
}
