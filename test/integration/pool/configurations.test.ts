/** What the edge says of how a model runs holds in place of its files, also while the edge can't say it. */
import { expect, test } from "vitest";
import { roomOf, startFixture } from "./fixture.ts";

const hello = (edge: Awaited<ReturnType<typeof startFixture>>["edge"]) =>
  edge.hellos.at(-1)?.models.find(({ name }) => name === "serial");

test("the edge's word holds over the files', of this model alone, and is kept for a start without the edge", async () => {
  const configurations = { "local/serial": { maxBatchSize: 3, startTimeoutMs: 5000, instances: 1 } };
  await using fixture = await startFixture(["serial", "single"], [], { configurations });
  const { edge, pool } = fixture;
  expect(hello(edge)).toMatchObject({ maxBatchSize: 3, maxQueueDelayMs: 150, startTimeoutMs: 5000 });
  expect(edge.hellos.at(-1)?.models.find(({ name }) => name === "single")).toMatchObject({ maxBatchSize: 1 });
  await edge.until(() => roomOf(edge, "serial") !== undefined);
  expect(roomOf(edge, "serial")?.room).toBe(3);

  await pool.kill("SIGTERM");
  edge.behaviour.configurations = null;
  const before = edge.hellos.length;
  const again = fixture.restart();
  await edge.until(() => edge.hellos.length > before);
  expect(hello(edge)).toMatchObject({ maxBatchSize: 3 });
  expect(again.output()).toContain("those it said last hold");
});

test("a configuration that doesn't fit the files names itself, and harms no other model", async () => {
  const configurations = { "local/serial": { maxBatchCost: 10 } };
  await using fixture = await startFixture(["serial", "single"], [], { configurations });
  expect(hello(fixture.edge)).toBeUndefined();
  expect(fixture.pool.output()).toContain("say what a prediction costs");
  expect(fixture.edge.hellos.at(-1)?.models.map(({ name }) => name)).toEqual(["single"]);
});
