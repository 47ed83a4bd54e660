import { expect, it } from "vitest";
import { admin, testEnv } from "../../test/worker/edge-harness.ts";
import { knownLanes, MAX_LANES } from "./log-settings.ts";

it("knows the lanes that pools may serve, and no more others than a request may ask", async () => {
  await testEnv.DB.prepare(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     INSERT INTO versions (owner, name, id, manifest, created_at)
       SELECT 'laned', 'm', printf('%064x', i), json_object('lane', printf('a-%d', i)), i FROM n`,
  ).run();
  await admin("/pool-tokens", { lanes: ["z-served"] });
  const lanes = await knownLanes(testEnv.DB);
  expect(lanes).toHaveLength(MAX_LANES);
  expect(lanes).toEqual(expect.arrayContaining(["default", "z-served", "a-1"]));
  expect(lanes).toEqual(lanes.toSorted());
});
