/** A Worker that is newer than its database: until the migrations have run, every call is told to come again. */
import { expect, it } from "vitest";
import { call, FakePool, newKey, testEnv } from "../../test/worker/edge-harness.ts";

/** D1 as it was before a migration: what is asked of it needs a column, or a table, that isn't there. */
function before(query: string) {
  const prepare = () => ({ bind: () => testEnv.DB.prepare(query), ...reads(testEnv.DB.prepare(query)) });
  const DB = new Proxy(testEnv.DB, {
    get: (target, key) => (key === "prepare" ? prepare : (Reflect.get(target, key) as unknown)),
  });
  return { DB };
}

function reads(statement: D1PreparedStatement) {
  return { first: () => statement.first(), all: () => statement.all(), run: () => statement.run() };
}

it.each(["SELECT has_none FROM api_keys", "SELECT 1 FROM none", "INSERT INTO accounts (none) VALUES (1)"])(
  "answers 503 with Retry-After where D1 refuses `%s`",
  async (query) => {
    const [key, pool] = [await newKey("early"), await FakePool.open()];
    const token = (await FakePool.open()).key;
    expect((await call("/v1/models", { key })).status).toBe(200);
    const env = before(query);
    const answers = await Promise.all([
      call("/v1/models", { key, env }),
      call("/admin/v1/accounts", { key: testEnv.ADMIN_KEY ?? "", env }),
      call("/pool/v1/events", { key: token, env, body: { session: pool.session, events: [] } }),
      call("/pool/v1/connect?session=session-1", { key: token, env, headers: { upgrade: "websocket" } }),
      call("/kafka/topics", { headers: { authorization: `Basic ${btoa(`pool:${token}`)}` }, env }),
      call("/v1/models", { key: await newKey("early"), env }),
    ]);
    for (const answer of answers) expect([answer.status, answer.headers.has("retry-after")]).toEqual([503, true]);
  },
);
