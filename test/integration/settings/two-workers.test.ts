/**
 * Two Workers over one store, as two isolates of a deployment are: what one publishes, the other goes by within 5 s.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { migrate } from "../../../scripts/lib/d1-migrate.ts";
import { bundleWorker } from "../../../scripts/lib/worker-bundle.ts";
import { readWorkerConfig } from "../../../scripts/lib/worker-config.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-settings-"));
const ADMIN_KEY = "ep_admin_test-admin-key-test-admin-key";
/** What is published holds everywhere for the requests that begin so much later. */
const EVERYWHERE_MS = 5000;

const ObjectsSchema = z.record(z.string(), z.looseObject({ className: z.string() }));
const KeySchema = z.looseObject({ key: z.string() });

type Name = "first" | "second";
let miniflare: Miniflare;
let key: string;

beforeAll(async () => {
  const config = await readWorkerConfig(
    join(root, "wrangler.toml"),
    join(root, "src/registry/migrations"),
    join(stateDir, "config.json"),
  );
  const bundle = await bundleWorker(config);
  const blobs = join(stateDir, "blobs");
  mkdirSync(blobs);
  const common = {
    ...bundle,
    bindings: {
      ...bundle.bindings,
      ADMIN_KEY,
      SHARD_COUNT: "1",
      EDGEPLANE_SECRET: "test-secret-test-secret-test-secret-test-secret",
    },
    serviceBindings: { ...bundle.serviceBindings, BLOB_CONTENT: { disk: { path: blobs, writable: true } } },
  };
  const elsewhere = Object.entries(ObjectsSchema.parse(bundle.durableObjects)).map(([binding, { className }]) => [
    binding,
    { className, scriptName: "first" },
  ]);
  miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      telemetry: { enabled: false },
      resourcePersistencePath: stateDir,
      workers: [
        { ...common, name: "first" },
        {
          ...common,
          name: "second",
          durableObjects: z.record(z.string(), z.any()).parse(Object.fromEntries(elsewhere)),
        },
      ],
    }),
  );
  await miniflare.ready;
  await migrate(await miniflare.getD1Database("DB", "first"), config.migrations);
  await ask("first", "/admin/v1/accounts", { name: "ada" });
  key = KeySchema.parse(await ask("first", "/admin/v1/keys", { account: "ada" })).key;
});

afterAll(async () => {
  await miniflare?.dispose();
  rmSync(stateDir, { recursive: true, force: true });
});

async function call(worker: Name, path: string, bearer: string, body?: object) {
  const { fetch } = await miniflare.getWorker(worker);
  return fetch(`http://127.0.0.1${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function ask(worker: Name, path: string, body: object): Promise<unknown> {
  const answer = await call(worker, path, ADMIN_KEY, body);
  expect(answer.status).toBe(201);
  return answer.json();
}

const status = async (worker: Name) => (await call(worker, "/v1/account", key)).status;

/**
 * Asks `worker` until it answers `wanted`; none that is asked later than 5 s after `since` may answer anything else.
 */
async function followed(worker: Name, wanted: number, since: number): Promise<void> {
  for (;;) {
    const askedMs = Date.now() - since;
    const answered = await status(worker);
    if (answered === wanted) return;
    if (askedMs > EVERYWHERE_MS) expect([askedMs, answered]).toEqual([askedMs, wanted]);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

it("each goes by what the other published within 5 s", async () => {
  expect([await status("first"), await status("second")]).toEqual([200, 200]);
  // Without `api-key` nobody is let in.
  await ask("first", "/admin/v1/settings", { settings: { plugins: {} }, why: "closed for a test" });
  const closedAt = Date.now();
  await Promise.all([followed("first", 401, closedAt), followed("second", 401, closedAt)]);
  await ask("second", "/admin/v1/settings/rollback", { number: 0, why: "open again" });
  const openedAt = Date.now();
  await Promise.all([followed("first", 200, openedAt), followed("second", 200, openedAt)]);
});
