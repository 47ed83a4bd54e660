/**
 * Setup of each test file in workerd: empty bindings and no object awake, whatever ran in this workerd before, and D1
 * at the newest schema. All migrations are one call: one by one they take several times as long, for every file.
 */
import { reset } from "cloudflare:test";
import type { D1Migration } from "cloudflare:test";
import { env } from "cloudflare:workers";

const { DB, TEST_MIGRATIONS } = env as { DB: D1Database; TEST_MIGRATIONS: D1Migration[] };
const TRIES = 3;

for (let tries = 1; ; tries += 1) {
  await reset();
  try {
    await DB.batch(TEST_MIGRATIONS.flatMap(({ queries }) => queries.map((query) => DB.prepare(query))));
    break;
  } catch (error) {
    // On a busy machine the file before may still hold on to its database.
    if (tries === TRIES) throw error;
  }
}
