/** Sweeps keep up with what expires, within one budget of calls, and a backlog of one kind holds up no other. */
import { beforeEach, expect, it } from "vitest";
import { createCountedEnv } from "../../test/worker/counted-env.ts";
import { admin, newKey, testEnv } from "../../test/worker/edge-harness.ts";
import { sweepOrphans } from "../shard/orphans.ts";
import { sweepExpired } from "./sweep.ts";

const { DB, BLOBS } = testEnv;
const FILES = 1200;
const UPLOADS = 90;
const numbers = (count: number) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;

/** Calls of database, bucket and objects: a batch is one, and a statement that a batch runs is none. */
const callsOf = (calls: Record<string, number>): number =>
  Object.entries(calls).reduce((sum, [name, count]) => sum + (name.startsWith("DB ") ? 0 : count), 0) +
  Object.entries(calls).reduce(
    (sum, [name, count]) => sum + (/^DB (SELECT|DELETE FROM dead|INSERT OR)/.test(name) ? count : 0),
    0,
  );

let account = "";
beforeEach(async () => {
  const name = crypto.randomUUID();
  account = String((await admin("/accounts", { name }))["id"]);
  await newKey(name);
});

const expiredFiles = async (count: number) =>
  DB.prepare(
    `${numbers(count)} INSERT INTO files (id, account_id, name, content_type, size_bytes, sha256, metadata, created_at, expires_at)
     SELECT 'f' || i, ?, '', '', 1, '', '{}', 1, 2 FROM n`,
  )
    .bind(account)
    .run();
async function abandonedUploads(count: number): Promise<void> {
  const ids = await Promise.all(
    Array.from({ length: count }, async (_, nth) => {
      const key = `files/u${nth}`;
      return { id: `u${nth}`, key, upload: (await BLOBS.createMultipartUpload(key)).uploadId };
    }),
  );
  await DB.prepare(
    `INSERT INTO uploads SELECT value ->> 'id', ?1, value ->> 'key', value ->> 'upload', '', '', '{}', 1, 1, 1, 2 FROM json_each(?2)`,
  )
    .bind(account, JSON.stringify(ids))
    .run();
  await DB.prepare("INSERT INTO upload_parts SELECT id, 1, 1, '', '' FROM uploads").run();
}
const left = async (table: string) => DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<number>("n");

it("delete all that has expired in one run, of every kind", async () => {
  await expiredFiles(FILES);
  await abandonedUploads(UPLOADS);
  await DB.prepare(
    `${numbers(FILES)} INSERT INTO dead_letters SELECT 'd' || i, 'a/b', 'v', 'default', 'timed_out', 1, 1, NULL, NULL FROM n`,
  ).run();
  await DB.prepare("UPDATE api_keys SET revoked_at = 1").run();
  const made = await sweepExpired(testEnv, [sweepOrphans]);
  for (const table of ["files", "uploads", "upload_parts", "dead_letters", "api_keys"])
    expect([table, await left(table)]).toEqual([table, 0]);
  expect(made).toBeLessThan(400);
});

it("make no more calls than the run may, and serve every kind by turns", async () => {
  await expiredFiles(FILES * 3);
  await abandonedUploads(UPLOADS * 2);
  const { env, calls } = createCountedEnv(testEnv);
  const told = await sweepExpired(env, [sweepOrphans], 130);
  expect(callsOf(calls)).toBeLessThanOrEqual(told);
  expect(told).toBeLessThanOrEqual(130);
  expect(await left("uploads")).toBeLessThan(UPLOADS * 2);
  expect(await left("uploads")).toBeGreaterThan(0);
  expect(await left("files")).toBe(0);
  for (let runs = 0; (await left("uploads")) !== 0; runs += 1) {
    expect(runs).toBeLessThan(10);
    await sweepExpired(testEnv, [sweepOrphans], 130);
  }
});

it("go on when one of them fails", async () => {
  await expiredFiles(3);
  await abandonedUploads(2);
  const broken = new Proxy(BLOBS, {
    get(bucket, key) {
      if (key === "delete") return async () => Promise.reject(new Error("the bucket is away"));
      const value: unknown = Reflect.get(bucket, key);
      return typeof value === "function" ? (value.bind(bucket) as unknown) : value;
    },
  });
  await DB.prepare("INSERT INTO dead_letters VALUES ('d', 'a/b', 'v', 'default', 'timed_out', 1, 1, NULL, NULL)").run();
  await sweepExpired({ ...testEnv, BLOBS: broken });
  expect([await left("files"), await left("dead_letters")]).toEqual([3, 0]);
  await sweepExpired(testEnv);
  expect([await left("files"), await left("uploads")]).toEqual([0, 0]);
});
