/** How often each account ran each version: what `run_count` sums up, and what deleting a version asks. */

export type Runs = { model: string; version: string; accountId: string; count: number };

/** Notes totals. One that is noted twice, or late, changes nothing. `model` is `owner/name`. */
export async function recordRuns(db: D1Database, runs: readonly Runs[]): Promise<void> {
  await db
    .prepare(
      `INSERT INTO runs (owner, name, version, account_id, count)
       SELECT substr(value ->> 'model', 1, instr(value ->> 'model', '/') - 1), substr(value ->> 'model', instr(value ->> 'model', '/') + 1),
         value ->> 'version', value ->> 'accountId', value ->> 'count' FROM json_each(?) WHERE true
       ON CONFLICT DO UPDATE SET count = max(count, excluded.count)`,
    )
    .bind(JSON.stringify(runs))
    .run();
}
