import { beforeAll, expect, it } from "vitest";
import { offer, testEnv } from "../../test/worker/edge-harness.ts";
import { MAX_KEEPING, readWishes } from "./scaling-wishes.ts";

const VERSION = "a".repeat(64);
const NUMBERS = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= ${MAX_KEEPING})`;
const KEEPING = '{"scaling":{"min":1}}';
const run = (query: string, ...values: unknown[]) =>
  testEnv.DB.prepare(query)
    .bind(...values)
    .run();
const kept = async () => (await readWishes(testEnv.DB, [], [])).map(({ model }) => model);

/** Of `greedy`, which comes first in every order, there is more than an answer takes. */
beforeAll(async () => {
  await run(`INSERT INTO accounts (id, name, type, webhook_secret, created_at)
    VALUES ('0', 'greedy', 'user', '', 0), ('1', 'modest', 'user', '', 0)`);
});

it("hears of each account's deployments that keep machines, however many another one has", async () => {
  await offer({ owner: "modest", name: "deployed", version: VERSION });
  const columns = "'cpu', 1, 1, 1, 0, 0, NULL";
  await run(`${NUMBERS} INSERT INTO deployments
    SELECT '0', printf('d-%d', i), 'modest', 'deployed', printf('%064x', i), ${columns} FROM n`);
  await run(`INSERT INTO deployments VALUES ('1', 'own', 'modest', 'deployed', ?1, ${columns})`, VERSION);
  expect(await kept()).toContain("modest/deployed");
});

it("hears of each owner's models that keep machines by their rows, however many another one has", async () => {
  await run(
    `${NUMBERS} INSERT INTO models (owner, name, description, created_at, updated_at, configuration, latest_version)
       SELECT 'greedy', printf('m-%d', i), '', 0, 0, ?1, ?2 FROM n`,
    KEEPING,
    VERSION,
  );
  await offer({ owner: "modest", name: "configured", version: VERSION });
  await run("UPDATE models SET configuration = ? WHERE owner = 'modest' AND name = 'configured'", KEEPING);
  expect(await kept()).toContain("modest/configured");
});

it("hears of each owner's models that keep machines by their files, however many another one has", async () => {
  await run(
    `${NUMBERS} INSERT INTO versions (owner, name, id, manifest, created_at)
       SELECT 'greedy', printf('m-%d', i), ?2, ?1, 0 FROM n`,
    KEEPING,
    VERSION,
  );
  await offer({ owner: "modest", name: "by-files", version: VERSION, scaling: { min: 1 } });
  expect(await kept()).toContain("modest/by-files");
});
