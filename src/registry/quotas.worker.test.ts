/** Every insert of the registry stops at its account's quota, names it, and stops nobody else's. */
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { admin, call, callJson, FakePool, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";
import { ManifestSchema } from "../contract/manifest.ts";
import type { Manifest } from "../contract/manifest.ts";
import type { Env } from "../env.ts";
import { sweepFiles } from "./files.ts";
import { registerDevices } from "./devices.ts";
import { registerManifests } from "./registration.ts";

const operator = testEnv.ADMIN_KEY ?? "";
let key = "";
let other = "";
beforeAll(async () => {
  key = await newKey("bounded");
  other = await newKey("unbounded");
});
afterEach(() => void vi.useRealTimers());

type Calling = { key: string; env?: Partial<Env> };
type Answer = { status: number; body: Record<string, unknown> };
const version = (digit: string) => digit.repeat(64);
const upload = async (calling: Calling, body: string, query = "name=a.txt") =>
  callJson(`/v1/files?${query}`, { ...calling, body, headers: { "content-length": String(body.length) } });
const form = async (calling: Calling, metadata: object): Promise<Answer> => {
  const parts = new FormData();
  parts.set("content", new File(["x"], "a.txt"));
  parts.set("metadata", JSON.stringify(metadata));
  const encoded = new Response(parts);
  const body = new Uint8Array(await encoded.arrayBuffer());
  const headers = { "content-type": encoded.headers.get("content-type") ?? "", "content-length": String(body.length) };
  return callJson("/v1/files", { ...calling, body, headers });
};
const start = async (calling: Calling, body: object) => callJson("/v1/uploads", { ...calling, body });
const model = async (calling: Calling, owner: string, name: string) =>
  callJson("/v1/models", { ...calling, body: { owner, name, visibility: "private", hardware: "cpu" } });

describe("an account's quota", () => {
  it.each<[string, Partial<Env>, (calling: Calling, nth: number, account: string) => Promise<Answer>]>([
    ["files", { QUOTA_FILES: "2" }, async (calling) => upload(calling, "some text")],
    ["files", { QUOTA_FILE_BYTES: "20" }, async (calling) => upload(calling, "ten bytes!")],
    ["metadata", { QUOTA_METADATA_BYTES: "130" }, async (calling) => form(calling, { a: "x".repeat(40) })],
    ["uploads", { QUOTA_UPLOADS: "2" }, async (calling) => start(calling, { name: "a", size: 1 })],
    ["files", { QUOTA_FILE_BYTES: "2000" }, async (calling) => start(calling, { name: "a", size: 1000 })],
    ["models", { QUOTA_MODELS: "2" }, async (calling, nth, account) => model(calling, account, `m${nth}`)],
    [
      "deployments",
      { QUOTA_DEPLOYMENTS: "2" },
      async (calling, nth) => {
        const deployment = { name: `d${nth}`, model: "acme/deployed", version: version("a"), hardware: "cpu" };
        return callJson("/v1/deployments", { ...calling, body: { ...deployment, min_instances: 0, max_instances: 1 } });
      },
    ],
    [
      "API keys",
      { QUOTA_KEYS: "3" },
      async ({ env = {} }, _nth, account) => callJson("/admin/v1/keys", { key: operator, env, body: { account } }),
    ],
  ])("of %s (%j) is named when it is used up, and is nobody else's", async (what, env, insert) => {
    await offer({ name: "deployed", version: version("a") });
    const [name, neighbour] = [crypto.randomUUID(), crypto.randomUUID()];
    const [calling, others] = [
      { key: await newKey(name), env },
      { key: await newKey(neighbour), env },
    ];
    const answers = [];
    for (let nth = 0; nth < 3; nth += 1) answers.push(await insert(calling, nth, name));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 403]);
    expect(answers[2]?.body).toMatchObject({ code: "quota_exceeded" });
    expect(answers[2]?.body["detail"]).toContain(what);
    expect(answers[2]?.body["detail"]).toContain(Object.keys(env)[0]);
    expect((await insert(others, 0, neighbour)).status).toBe(201);
  });

  it("leaves nothing of what it refused in the bucket", async () => {
    const before = (await testEnv.BLOBS.list()).objects.length;
    const env = { QUOTA_FILES: "0" };
    const chunked = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(10));
        controller.close();
      },
    });
    expect((await upload({ key: other, env }, "some text")).status).toBe(403);
    expect((await form({ key: other, env: { QUOTA_METADATA_BYTES: "5" } }, { a: 1 })).status).toBe(403);
    expect((await start({ key: other, env: { QUOTA_FILE_BYTES: "5" } }, { name: "a", size: 6 })).status).toBe(403);
    expect((await call("/v1/files?name=a", { key: other, env, body: chunked })).status).toBe(403);
    expect((await testEnv.BLOBS.list()).objects).toHaveLength(before);
  });

  it("has room again when something is deleted, revoked or has expired", async () => {
    const calling = { key, env: { QUOTA_FILES: "1", QUOTA_KEYS: "2", QUOTA_MODELS: "1", QUOTA_UPLOADS: "1" } };
    const again = async (insert: () => Promise<Answer>, remove: (made: Answer) => Promise<unknown>) => {
      const made = await insert();
      expect([made.status, (await insert()).status]).toEqual([201, 403]);
      await remove(made);
      expect((await insert()).status).toBe(201);
    };
    const removal =
      (path: string, as = key) =>
      async (made: Answer) =>
        call(`${path}/${String(made.body["id"])}`, { method: "DELETE", key: as });
    await again(async () => upload(calling, "text"), removal("/v1/files"));
    await testEnv.DB.prepare("UPDATE files SET expires_at = 1").run();
    await sweepFiles(testEnv, 100);
    expect((await upload(calling, "text")).status).toBe(201);
    await again(async () => start(calling, { name: "a", size: 1 }), removal("/v1/uploads"));
    const makeKey = async () => callJson("/admin/v1/keys", { ...calling, key: operator, body: { account: "bounded" } });
    await again(makeKey, removal("/admin/v1/keys", operator));
    let nth = 0;
    const remove = async () => call("/v1/models/bounded/m1", { method: "DELETE", key });
    await again(async () => model(calling, "bounded", `m${(nth += 1)}`), remove);
  });

  it("bounds what is left of deleted models and versions: the oldest go", async () => {
    const calling = { key, env: { QUOTA_MODELS: "2", QUOTA_VERSIONS: "2" } };
    const marks = async (table: string, column: string) =>
      (
        await testEnv.DB.prepare(
          `SELECT ${column} AS mark FROM ${table} WHERE owner = 'bounded' AND deleted_at IS NOT NULL ORDER BY deleted_at`,
        ).all()
      ).results.map((row) => row["mark"]);
    vi.useFakeTimers({ now: Date.now(), toFake: ["Date"] });
    await testEnv.DB.prepare("DELETE FROM models WHERE owner = 'bounded'").run();
    for (const nth of [1, 2, 3, 4]) {
      vi.setSystemTime(Date.now() + 60_000);
      const made = await model(calling, "bounded", `gone-${nth}`);
      expect(made.status).toBe(201);
      await offer({ owner: "bounded", name: `gone-${nth}`, version: version(String(nth)) });
      for (const path of [`/gone-${nth}/versions/${version(String(nth))}`, `/gone-${nth}`])
        expect((await call(`/v1/models/bounded${path}`, { method: "DELETE", ...calling })).ok).toBe(true);
    }
    expect(await marks("models", "name")).toEqual(["gone-3", "gone-4"]);
    expect(await marks("versions", "id")).toEqual([version("3"), version("4")]);
  });

  it("keeps pools' registrations in bounds, and tells them", async () => {
    const env = { ...testEnv, QUOTA_MODELS: "1", QUOTA_VERSIONS: "2", QUOTA_VERSION_BYTES: "1200" };
    const register = async (fields: Partial<Manifest>) => {
      const manifest = ManifestSchema.parse({ owner: "pooled", name: "a", version: version("1"), ...fields });
      const [refused] = await registerManifests(env, { owners: ["pooled"], lanes: ["default"] }, [manifest]);
      return refused?.reason ?? "taken";
    };
    expect(await register({})).toBe("taken");
    expect(await register({ name: "b" })).toContain("QUOTA_MODELS");
    expect(await register({ version: version("2") })).toBe("taken");
    expect(await register({ version: version("3") })).toContain("QUOTA_VERSIONS");
    expect(await register({ version: version("2"), schema: { a: "x".repeat(900) } })).toContain("QUOTA_VERSION_BYTES");
    expect(await register({ version: version("2"), schema: { a: "x" } })).toBe("taken");
    expect(await register({ schema: { a: "x".repeat(1_100_000) } })).toContain("1048576 characters");
    const { results } = await testEnv.DB.prepare(
      "SELECT name, latest_version FROM models WHERE owner = 'pooled'",
    ).all();
    expect(results).toEqual([{ name: "a", latest_version: version("2") }]);
  });

  it("keeps what pools say of devices, and their uploads of one prediction, in bounds", async () => {
    const device = (nth: number) => ({
      id: "0",
      kind: "cuda" as const,
      name: `GPU ${nth} ${"x".repeat(500)}`,
      memoryBytes: null,
    });
    await registerDevices(
      testEnv,
      Array.from({ length: 64 }, (_, nth) => device(nth)),
    );
    await testEnv.DB.prepare("UPDATE usage SET count = 1000 WHERE kind = 'devices'").run();
    await registerDevices(testEnv, [{ ...device(0), name: "one too many" }]);
    const { results } = await testEnv.DB.prepare("SELECT sku, name FROM devices").all<{ sku: string; name: string }>();
    expect(results.length).toBeLessThanOrEqual(64);
    expect(Math.max(...results.map((row) => row.name.length), ...results.map((row) => row.sku.length))).toBe(128);
    await offer({ name: "writer", version: version("b") });
    const made = await callJson("/v1/predictions", { key, body: { version: version("b"), input: {} } });
    const pool = await FakePool.open();
    const { id, token } = await pool.claim(String(made.body["id"]));
    const begin = async () =>
      callJson(`/pool/v1/blobs/${id}/${token}/a.bin/uploads`, { key: pool.key, body: { size: 1 } });
    expect((await begin()).status).toBe(201);
    const rows = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
      INSERT INTO uploads SELECT 'filler' || i, NULL, 'predictions/' || ? || '/output/t/' || i, '', '', '', '{}', 1, 1, 1, ? FROM n`;
    await testEnv.DB.prepare(rows)
      .bind(id, Date.now() + 60_000)
      .run();
    const { status, body } = await begin();
    expect([status, body["code"]]).toEqual([403, "quota_exceeded"]);
    await testEnv.DB.prepare("DELETE FROM uploads WHERE id LIKE 'filler%'").run();
  });

  it("lets nobody replace a webhook secret without end", async () => {
    const calling = { method: "POST", key: await newKey("rotating") };
    const rotate = async () => callJson("/v1/webhooks/default/secret", calling);
    for (let count = 0; count < 7; count += 1) expect((await rotate()).status).toBe(201);
    const refused = await rotate();
    expect([refused.status, refused.body["code"]]).toEqual([429, "rate_limited"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(86_000);
    vi.useFakeTimers({ now: Date.now() + 86_400_001, toFake: ["Date"] });
    expect((await rotate()).status).toBe(201);
  });
});

it("is told by sums that triggers keep, which are those of the tables", async () => {
  const size = (...columns: string[]) => columns.map((column) => `length(CAST(${column} AS BLOB))`).join(" + ");
  const sums: Record<string, string> = {
    keys: "SELECT account_id, count(*), 0 FROM api_keys WHERE revoked_at IS NULL GROUP BY 1",
    models: "SELECT owner, count(*), 0 FROM models WHERE deleted_at IS NULL GROUP BY 1",
    versions: `SELECT owner, sum(deleted_at IS NULL), sum(${size("manifest")}) FROM versions GROUP BY 1`,
    deployments: "SELECT account_id, count(*), 0 FROM deployments GROUP BY 1",
    uploads: "SELECT account_id, count(*), 0 FROM uploads WHERE account_id IS NOT NULL GROUP BY 1",
    files: `SELECT account_id, sum(c), sum(b) FROM (SELECT account_id, 1 AS c, size_bytes AS b FROM files UNION ALL
      SELECT account_id, 0, size_bytes FROM uploads WHERE account_id IS NOT NULL) GROUP BY 1`,
    metadata: `SELECT account_id, 0, sum(b) FROM (SELECT account_id, ${size("name", "metadata")} AS b FROM files UNION ALL
      SELECT account_id, ${size("name", "metadata")} FROM uploads WHERE account_id IS NOT NULL) GROUP BY 1`,
  };
  await admin("/accounts", { name: "summed" });
  for (const [kind, query] of Object.entries(sums)) {
    const kept = `SELECT owner, count, bytes FROM usage WHERE kind = '${kind}' AND (count <> 0 OR bytes <> 0)`;
    const rows = async (text: string) =>
      (await testEnv.DB.prepare(text).raw()).map((row) => JSON.stringify(row)).toSorted();
    expect([kind, await rows(kept)]).toEqual([kind, await rows(query)]);
  }
});
