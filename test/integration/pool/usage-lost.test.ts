/** What attempts took whose pool was killed, or overtaken by another claim. */
import { expect, test } from "vitest";
import { hasBegun, startFixture } from "./fixture.ts";

test("what a pool that was killed did not tell is estimated; every attempt has its entry, once", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const model = await fixture.ref("single");
  const held = edge.submit(model, { do: "sleep 1" });
  await edge.until(() => hasBegun(held));
  const { session } = held;
  await fixture.pool.kill("SIGKILL");
  await fixture.second();
  fixture.restart();
  const others = ["a", "b", "c"].map((act) => edge.submit(model, { do: act }));
  await edge.until(() => [held, ...others].every(({ terminal }) => terminal?.type === "succeeded"), 20_000);

  const [lost, ...rest] = held.row.usage ?? [];
  expect(lost).toMatchObject({ attempt: 1, outcome: "lost", flags: ["estimated"] });
  expect(lost?.runMs).toBeGreaterThan(0);
  expect(rest).toMatchObject([{ attempt: held.row.attempt, outcome: "succeeded" }]);
  expect(rest[0]?.runMs).toBeGreaterThanOrEqual(990);
  expect(held.session).not.toBe(session);
  // A start that was counted for the dead pool, which never saw it, took nothing.
  for (const { row } of others)
    expect(row.usage).toMatchObject([{ attempt: row.attempt, outcome: "succeeded", device: "cpu" }]);
});

test("a pool that another claim has overtaken tells what its run took all the same, once", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const held = edge.submit(await fixture.ref("single"), { do: "talk 1" });
  await edge.until(() => hasBegun(held));
  edge.core.giveToAnother(held);
  await edge.until(() => held.row.usage?.some(({ flags = [] }) => flags.includes("correction")) === true);
  const [estimate, correction, ...more] = held.row.usage ?? [];
  expect([estimate?.outcome, more]).toEqual(["lost", []]);
  expect(correction).toMatchObject({ attempt: 1, outcome: "superseded", flags: ["superseded", "correction"] });
  expect(correction?.runMs).toBeGreaterThan(0);
});
