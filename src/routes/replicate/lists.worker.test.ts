/**
 * Lists at their edges: equal times, rows that come and go while one pages, links both ways, cursors that don't belong.
 */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { admin, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";

const VERSION = "3".repeat(64);
const OTHER = "4".repeat(64);
type Listed = { results: { id: string }[]; next: string | null; previous: string | null };

let pool: FakePool;
beforeAll(async () => {
  await offer({ name: "listed", version: VERSION });
  await offer({ name: "other", version: OTHER });
  pool = await FakePool.open();
});
afterEach(() => void vi.useRealTimers());

/** What a list is of: the places of those that wait may change between two looks. */
const idsOf = ({ results }: Listed) => results.map(({ id }) => id);

/** An account of its own, and what it does. */
async function account() {
  const name = `lists-${crypto.randomUUID()}`;
  const accountId = String((await admin("/accounts", { name }))["id"]);
  const key = await newKey(name);
  const index = testEnv.INDEX.getByName(accountId);
  const create = async (body: object = { version: VERSION }, path = "/v1/predictions") =>
    String((await callJson(path, { key, body: { input: {}, ...body } })).body["id"]);
  const list = async (query: string) => (await callJson(query, { key })).body as unknown as Listed;
  const ids = async (query: string) => idsOf(await list(query));
  /** Follows `next` or `previous` from a page to the last. */
  const walk = async (from: string, link: "next" | "previous" = "next") => {
    const pages: string[][] = [];
    for (let at: string | null = from; at !== null && pages.length < 50;) {
      const page: Listed = await list(at);
      pages.push(idsOf(page));
      at = page[link];
    }
    return pages;
  };
  const indexed = (count: number) => expect.poll(async () => (await ids("/v1/predictions")).length).toBe(count);
  return { name, key, index, create, list, ids, walk, indexed };
}

describe("pages", () => {
  it("show each of many with one time once, forwards and back", async () => {
    const { create, walk, list, indexed } = await account();
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    const made = await Promise.all(Array.from({ length: 11 }, () => create()));
    vi.useRealTimers();
    await indexed(11);
    const forwards = await walk("/v1/predictions?limit=3");
    expect(forwards.map(({ length }) => length)).toEqual([3, 3, 3, 2]);
    expect(forwards.flat()).toEqual(made.toSorted().toReversed());
    let last = await list("/v1/predictions?limit=3");
    while (last.next !== null) last = await list(last.next);
    const back = await walk(last.previous ?? "", "previous");
    expect(back.toReversed().flat()).toEqual(made.toSorted().toReversed().slice(0, 9));
    expect(last.previous).toContain("limit=3");
  });

  it("stay in order while others come, and find back from where everything has gone", async () => {
    const { create, list, index, indexed } = await account();
    const old = [await create(), await create(), await create(), await create()];
    await indexed(4);
    const first = await list("/v1/predictions?limit=2");
    expect([first.previous, first.results.length]).toEqual([null, 2]);
    const newer = await create();
    await indexed(5);
    const second = await list(first.next ?? "");
    expect([...idsOf(first), ...idsOf(second)].toSorted()).toEqual(old.toSorted());
    expect(second.next).toBeNull();
    const before = await list(second.previous ?? "");
    expect(idsOf(before)).toEqual(idsOf(first));
    const top = await list(before.previous ?? "");
    expect([idsOf(top), top.previous]).toEqual([[newer], null]);
    await runInDurableObject(index, (_index, { storage }) => {
      storage.sql.exec("DELETE FROM entry WHERE id IN (SELECT value FROM json_each(?))", JSON.stringify(idsOf(second)));
    });
    const emptied = await list(first.next ?? "");
    expect([emptied.results, emptied.next]).toEqual([[], null]);
    expect(idsOf(await list(emptied.previous ?? ""))).toEqual(idsOf(first));
    await runInDurableObject(index, (_index, { storage }) => {
      storage.sql.exec("DELETE FROM entry WHERE id = ?", newer);
    });
    const above = await list(before.previous ?? "");
    expect([above.results, above.previous]).toEqual([[], null]);
    expect(idsOf(await list(above.next ?? ""))).toEqual(idsOf(first));
  });

  it("end with the list, also when its end falls on a page's", async () => {
    const { create, walk, indexed } = await account();
    for (let made = 0; made < 4; made += 1) await create();
    await indexed(4);
    expect((await walk("/v1/predictions?limit=2")).map(({ length }) => length)).toEqual([2, 2]);
    expect(await walk("/v1/predictions?limit=4")).toHaveLength(1);
  });
});

describe("what lists are narrowed by", () => {
  it("is model, version, deployment, source, status and time", async () => {
    const { name, key, create, ids, indexed } = await account();
    const deployment = { name: "d", model: "acme/listed", version: VERSION, hardware: "cpu", min_instances: 0 };
    await callJson("/v1/deployments", { key, body: { ...deployment, max_instances: 1 } });
    const plain = await create();
    const other = await create({ version: OTHER });
    const deployed = await create({}, `/v1/deployments/${name}/d/predictions`);
    await pool.run(other, "done");
    await callJson(`/v1/predictions/${plain}/cancel`, { method: "POST", key });
    await indexed(3);
    const narrowed = async (query: string) => (await ids(`/v1/predictions?${query}`)).toSorted();
    expect(await narrowed("model=acme/other")).toEqual([other]);
    expect(await narrowed(`version=${VERSION}`)).toEqual([plain, deployed].toSorted());
    expect(await narrowed(`deployment=${name}/d`)).toEqual([deployed]);
    expect(await narrowed("source=api")).toHaveLength(3);
    expect(await narrowed("source=web")).toEqual([]);
    expect(await narrowed("status=succeeded")).toEqual([other]);
    expect(await narrowed("status=canceled&model=acme/listed")).toEqual([plain]);
    expect(await narrowed("status=starting&created_before=2026-01-01T00:00:00Z")).toEqual([]);
    for (const bad of ["status=done", "source=cli", "model=listed", "limit=0", "limit=101", "created_after=soon"]) {
      const { status, body } = await callJson(`/v1/predictions?${bad}`, { key });
      expect([bad, status, body["code"]]).toEqual([bad, 400, "invalid_request"]);
    }
  });

  it("reaches rare ones page by page, and keeps the narrowing in the links", async () => {
    const { create, walk, indexed } = await account();
    const wanted = await create();
    for (let made = 0; made < 12; made += 1) await create({ version: OTHER });
    await pool.run(wanted, "done");
    await indexed(13);
    const pages = await walk("/v1/predictions?status=succeeded&limit=1");
    expect(pages.flat()).toEqual([wanted]);
    expect(pages.length).toBeGreaterThan(1);
    expect((await walk(`/v1/predictions?version=${VERSION}&limit=1`)).flat()).toEqual([wanted]);
  });
});

describe("an entry", () => {
  it("has no large output and not many metrics, which the prediction has", async () => {
    const { key, create, list, indexed } = await account();
    const [small, large] = [await create(), await create()];
    const metrics = Object.fromEntries(Array.from({ length: 10 }, (_, nth) => [`m${nth}`, "x".repeat(3000)]));
    await pool.run(small, "y".repeat(60_000));
    const grant = await pool.claim(large);
    await pool.send(grant, { type: "succeeded", output: "z".repeat(70_000), metrics });
    await indexed(2);
    const { results } = (await list("/v1/predictions")) as unknown as { results: Record<string, unknown>[] };
    const byId = new Map(results.map((one) => [one["id"], one]));
    expect([byId.get(small)?.["output"], byId.get(large)?.["output"]]).toEqual(["y".repeat(60_000), null]);
    expect(byId.get(large)?.["metrics"]).not.toHaveProperty("m1");
    const { body } = await callJson(`/v1/predictions/${large}`, { key });
    expect(body["output"]).toHaveLength(70_000);
    expect(body["metrics"]).toMatchObject({ m1: metrics["m1"] });
  });

  it("has no logs, however long they are", async () => {
    const { key, create, list, indexed } = await account();
    const id = await create();
    const log = { type: "log", text: "line\n".repeat(40_000) } as const;
    await pool.send(await pool.claim(id), log, { type: "succeeded", output: "done" });
    await indexed(1);
    const { results } = await list("/v1/predictions");
    expect(results).toMatchObject([{ id, output: "done", status: "succeeded" }]);
    expect(JSON.stringify(results).length).toBeLessThan(2000);
    expect(results[0]).not.toHaveProperty("logs");
    expect((await callJson(`/v1/predictions/${id}`, { key })).body["logs"]).toBe(log.text);
  });
});

describe("a cursor", () => {
  it("that is none, or of another list, is refused with 400", async () => {
    const { key, create, list, indexed } = await account();
    await create();
    await create();
    await indexed(2);
    const own = new URL((await list("/v1/predictions?limit=1")).next ?? "").searchParams.get("cursor") ?? "";
    const encode = (text: string) => btoa(text).replaceAll("=", "");
    const ofModels = encode("n1700000000000:acme/listed");
    for (const [path, cursor] of [
      ["/v1/predictions", "garbage!"],
      ["/v1/predictions", encode("n99999999999999999999:x")],
      ["/v1/predictions", ofModels],
      ["/v1/models", own],
      ["/v1/models/acme/listed/versions", own],
      ["/v1/deployments", ofModels],
      ["/v1/files", own],
      ["/v1/models", encode("p1700000000000:acme/listed")],
    ] as const) {
      const { status, body } = await callJson(`${path}?cursor=${encodeURIComponent(cursor)}`, { key });
      expect([path, cursor, status, body["code"]]).toEqual([path, cursor, 400, "invalid_request"]);
    }
  });

  it("of another account's list is a place in one's own, and shows nothing of the other", async () => {
    const [one, another] = [await account(), await account()];
    const theirs = [await one.create(), await one.create(), await one.create()];
    const own = await another.create();
    await one.indexed(3);
    await another.indexed(1);
    const cursor = new URL((await one.list("/v1/predictions?limit=1")).next ?? "").searchParams.get("cursor") ?? "";
    const page = await another.list(`/v1/predictions?cursor=${cursor}`);
    expect(page.results).toEqual([]);
    expect(JSON.stringify(await another.walk("/v1/predictions"))).toBe(JSON.stringify([[own]]));
    for (const id of theirs) expect(JSON.stringify(page)).not.toContain(id);
  });
});

describe("run_count", () => {
  it("counts each prediction once, by all accounts, and survives retries", async () => {
    const [one, another] = [await account(), await account()];
    await offer({ name: "counted", version: "5".repeat(64) });
    for (const { create } of [one, one, another]) await create({ version: "5".repeat(64) });
    await one.indexed(2);
    await another.indexed(1);
    for (const { index } of [one, another, one]) await runDurableObjectAlarm(index);
    const { results } = await testEnv.DB.prepare("SELECT count FROM runs WHERE name = 'counted' ORDER BY count").all();
    expect(results).toEqual([{ count: 1 }, { count: 2 }]);
    await offer({ name: "counted", version: "6".repeat(64) });
    expect((await callJson("/v1/models/acme/counted", { key: one.key })).body).toMatchObject({ run_count: 3 });
    expect(await runDurableObjectAlarm(one.index)).toBe(false);
  });
});
