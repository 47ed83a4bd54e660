/** Objects that stored something under another release's schema, in workerd. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { DurableObject } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { callJson, newKey, offer, ORIGIN, testEnv } from "../test/worker/edge-harness.ts";
import { shardName, shardOf } from "./contract/ids.ts";
import type { Env } from "./env.ts";
import { IDENTITY_HEADER } from "./fleet/pool-session.ts";
import { SESSION_HEADER } from "./contract/claim.ts";
import type { Schema } from "./object-schema.ts";
import { versioned } from "./versioned-object.ts";

const idOf = (body: Record<string, unknown>) => String(body["id"]);
const shardStub = (id: string) => testEnv.SHARD.getByName(shardName(shardOf(id)));

/** What the object has stored, but for its alarm. */
const dump = (stub: DurableObjectStub) =>
  runInDurableObject(stub, (_object, { storage }) => {
    const tables = storage.sql.exec<{ name: string }>(
      String.raw`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\_%' ESCAPE '\' ORDER BY name`,
    );
    return [...tables].map(({ name }) => [name, storage.sql.exec(`SELECT * FROM "${name}"`).toArray()]);
  });

/** As a release stores it whose schema has that number. */
async function makeOf(stub: DurableObjectStub, number: number): Promise<void> {
  await runInDurableObject(stub, (_object, { storage }) => {
    storage.sql.exec("UPDATE object_schema SET version = ?, needs = ?", number, number);
  });
  await evictDurableObject(stub);
}

async function accepted(account: string) {
  const key = await newKey(account);
  const { name, owner } = await offer({ name: "echo", owner: account });
  const body = { version: `${owner}/${name}`, input: {} };
  const made = await callJson("/v1/predictions", { key, body });
  expect(made.status).toBe(201);
  return { key, id: idOf(made.body) };
}

it("refuses calls while only a later release can read what is stored, writes nothing, and goes on afterwards", async () => {
  const { key, id } = await accepted("rolls-back");
  const stub = shardStub(id);
  await makeOf(stub, 99);
  const stored = await dump(stub);
  const refused = await callJson(`/v1/predictions/${id}`, { key });
  expect([refused.status, refused.body["code"]]).toEqual([503, "unavailable"]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await callJson(`/v1/predictions/${id}/cancel`, { key, method: "POST" })).status).toBe(503);
  expect(await dump(stub)).toEqual(stored);
  await makeOf(stub, 1);
  expect((await callJson(`/v1/predictions/${id}`, { key })).body["status"]).toBe("starting");
});

it("keeps an alarm that a later release has set", async () => {
  const { id } = await accepted("keeps-alarms");
  const stub = shardStub(id);
  await makeOf(stub, 99);
  await runInDurableObject(stub, (_object, { storage }) => storage.setAlarm(Date.now() + 3_600_000));
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  const nextAt = await runInDurableObject(stub, (_object, { storage }) => storage.getAlarm());
  expect(nextAt).toBeGreaterThan(Date.now());
  // Later tests' predictions may fall to the same shard.
  await makeOf(stub, 1);
});

it("asks a pool whose session a later release stored to come again", async () => {
  const session = "session-of-later";
  const stub = testEnv.POOL.getByName(session);
  const identity = JSON.stringify({ poolTokenId: "t", lanes: ["default"], mayRegisterModels: false });
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, [IDENTITY_HEADER]: identity };
  const { webSocket } = await stub.fetch(ORIGIN, { headers });
  expect(webSocket).not.toBeNull();
  await makeOf(stub, 99);
  await expect(stub.fetch(ORIGIN, { headers })).rejects.toThrow(
    "stored by a later release: this pool session has schema 99",
  );
});

it("goes on with pages beside the object's work, and again after one that failed", async () => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  let failures = 0;
  const schema: Schema = {
    name: "thing",
    steps: [
      { up: (sql) => void sql("CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, isNew INTEGER)") },
      {
        page(sql, after) {
          const [row] = sql("UPDATE thing SET isNew = 1 WHERE id = ? RETURNING id", Number(after) + 1);
          if (after === "2" && failures === 0) {
            failures += 1;
            throw new Error("the disk is full");
          }
          return row === undefined ? null : String(row["id"]);
        },
      },
    ],
  };
  const stub = testEnv.INDEX.getByName("goes by pages");
  const left = () =>
    runInDurableObject(stub, (_object, { storage }) =>
      storage.sql
        .exec("SELECT id FROM thing WHERE isNew IS NULL")
        .toArray()
        .map(({ id }) => id),
    );
  await runInDurableObject(stub, (_object, ctx) => {
    ctx.storage.sql.exec("DROP TABLE object_schema; CREATE TABLE thing (id INTEGER PRIMARY KEY, isNew INTEGER)");
    ctx.storage.sql.exec("INSERT INTO thing (id) VALUES (1), (2), (3), (4), (5)");
    const Thing = versioned(class extends DurableObject<Env> {}, schema);
    expect(new Thing(ctx, testEnv)).toBeInstanceOf(DurableObject);
    // Whoever called it isn't kept waiting.
    expect(ctx.storage.sql.exec("SELECT 1 FROM thing WHERE isNew IS NULL").toArray()).toHaveLength(5);
  });
  await expect.poll(left).toEqual([]);
  expect(failures).toBe(1);
  expect(logged).toHaveBeenCalledWith(expect.stringContaining("schema_page_failed"));
});

it("makes no table where nothing was stored", async () => {
  const stub = testEnv.POOL.getByName("session-never-seen");
  await stub.check([]);
  expect(await dump(stub)).toEqual([]);
});

it("numbers what was stored before schemas were", async () => {
  const { key, id } = await accepted("from-before");
  const stub = shardStub(id);
  await runInDurableObject(stub, (_object, { storage }) => storage.sql.exec("DROP TABLE object_schema").toArray());
  await evictDurableObject(stub);
  expect((await callJson(`/v1/predictions/${id}`, { key })).body["status"]).toBe("starting");
  expect(Object.fromEntries(await dump(stub))).toMatchObject({ object_schema: [{ one: 1, version: 2, needs: 1 }] });
});
