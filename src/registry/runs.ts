/** How often each account ran each version: what a model's `run_count` adds up, and what deleting a version asks. */

export type Runs = { model: string; version: string; accountId: string; count: number };

/** The rows of a JSON list of `Runs`. */
const ROWS = `SELECT substr(value ->> 'model', 1, instr(value ->> 'model', '/') - 1) AS owner,
    substr(value ->> 'model', instr(value ->> 'model', '/') + 1) AS name,
    value ->> 'version' AS version, value ->> 'accountId' AS account_id, value ->> 'count' AS count FROM json_each(?1)`;

/** Notes totals. One that is noted twice, or late, changes nothing. `model` is `owner/name`. */
export async function recordRuns(db: D1Database, runs: readonly Runs[]): Promise<void> {
  const rows = JSON.stringify(runs);
  await db.batch([
    db
      .prepare(
        `WITH added AS (
           SELECT n.owner, n.name, sum(max(0, n.count - coalesce(r.count, 0))) AS count FROM (${ROWS}) n
           LEFT JOIN runs r ON r.owner = n.owner AND r.name = n.name AND r.version = n.version AND r.account_id = n.account_id
           GROUP BY n.owner, n.name)
         UPDATE models SET run_count = run_count + added.count FROM added
         WHERE models.owner = added.owner AND models.name = added.name AND added.count > 0`,
      )
      .bind(rows),
    db
      .prepare(
        `INSERT INTO runs (owner, name, version, account_id, count) SELECT owner, name, version, account_id, count FROM (${ROWS}) WHERE true
         ON CONFLICT DO UPDATE SET count = excluded.count WHERE excluded.count > count`,
      )
      .bind(rows),
  ]);
}
