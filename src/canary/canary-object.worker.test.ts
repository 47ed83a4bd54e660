import { runInDurableObject } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import { testEnv } from "../../test/worker/edge-harness.ts";
import type { Counts } from "../contract/canary.ts";
import { endCanary, readCanaryById, startCanary } from "../registry/canaries.ts";
import type { Canary } from "../registry/canaries.ts";

const WAIT = { timeout: 10_000 };

function begin(name: string): Promise<Canary> {
  return startCanary(testEnv.DB, {
    pointer: `alias tester/${name}:latest`,
    model: { owner: "tester", name },
    base: "a".repeat(64),
    version: "b".repeat(64),
    percent: 10,
    stickyBy: "request",
    steps: [],
  });
}
const counts = (failed: number): Counts => ({
  base: { ended: 100, failed: 0, unstarted: 0 },
  canary: { ended: 10, failed, unstarted: 0 },
});
const report = (id: string, seq: number, failed: number) =>
  testEnv.CANARY.getByName(id).report(id, { source: "shard", seq, counts: counts(failed) });
const tables = (id: string) =>
  runInDurableObject(testEnv.CANARY.getByName(id), (_, { storage }) =>
    storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'kept'").toArray(),
  );

it("keeps its counts over a restart, in one row that is written later", async () => {
  const { id } = await begin("restarted");
  await report(id, 1, 1);
  await report(id, 2, 1);
  expect(await tables(id)).toEqual([]);
  await vi.waitFor(async () => expect(await tables(id)).toHaveLength(1), WAIT);
  await runInDurableObject(testEnv.CANARY.getByName(id), (_, state) => {
    state.abort("a restart");
  }).catch(() => {});
  expect((await testEnv.CANARY.getByName(id).counts()).canary).toEqual({ ended: 20, failed: 2, unstarted: 0 });
});

it("ends the canary once the registry is back, by the report that is sent again", async () => {
  const { id } = await begin("away");
  await testEnv.DB.prepare(
    "CREATE TRIGGER registry_away BEFORE UPDATE ON canaries BEGIN SELECT RAISE(FAIL, 'away'); END",
  ).run();
  await runInDurableObject(testEnv.CANARY.getByName(id), async (object) => {
    await expect(object.report(id, { source: "shard", seq: 1, counts: counts(8) })).rejects.toThrow("away");
  });
  await testEnv.DB.prepare("DROP TRIGGER registry_away").run();
  await report(id, 1, 8);
  expect((await readCanaryById(testEnv.DB, id))?.end).toMatchObject({
    outcome: "returned",
    numbers: { canary: { ended: 10, failed: 8 } },
  });
});

it.each([
  ["moves on", "replaced", [0.01, 100]],
  ["promotes", "replaced-last", [100]],
] as const)("%s by no steps that its owner has replaced since", async (_what, name, percents) => {
  const [base, version] = ["a".repeat(64), "b".repeat(64)];
  const split = { pointer: `alias tester/${name}:stable`, model: { owner: "tester", name }, base, version };
  const start = (percent: number, steps: Canary["steps"]) =>
    startCanary(testEnv.DB, { ...split, stickyBy: "request", percent, steps });
  const alias = testEnv.DB.prepare("INSERT INTO aliases VALUES ('tester', ?, 'stable', ?, 0, 0)");
  await alias.bind(name, base).run();
  const { id } = await start(
    percents[0],
    percents.map((percent) => ({ percent, bakeS: 0 })),
  );
  const one = { ended: 1, failed: 0, unstarted: 0 };
  await testEnv.CANARY.getByName(id).report(id, { source: "shard", seq: 1, counts: { base: one, canary: one } });
  await start(5, []);
  await report(id, 2, 0);
  expect(await readCanaryById(testEnv.DB, id)).toMatchObject({ percent: 5, step: 0, end: null });
  const pointed = testEnv.DB.prepare("SELECT version FROM aliases WHERE owner = 'tester' AND name = ?");
  expect(await pointed.bind(name).first("version")).toBe(base);
});

it("tells shards when the canary has ended, and keeps nothing of it", async () => {
  const canary = await begin("ended");
  const { id } = canary;
  expect(await report(id, 1, 0)).toMatchObject({ hasEnded: false });
  await vi.waitFor(async () => expect(await tables(id)).toHaveLength(1), WAIT);
  await endCanary(testEnv.DB, canary, { outcome: "aborted", reason: null, numbers: null });
  expect((await testEnv.CANARY.getByName(id).close()).canary.ended).toBe(10);
  expect(await report(id, 2, 0)).toMatchObject({ hasEnded: true });
  expect(await tables(id)).toEqual([]);
  expect(await report("never-begun", 1, 0)).toMatchObject({ hasEnded: true });
});
