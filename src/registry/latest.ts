/** A pushed version becomes its model's latest once it is live, unless a later push is that already. */

const LIVE_AND_WANTING = `FROM bundles b JOIN versions v ON v.owner = b.owner AND v.name = b.name AND v.id = b.version
  WHERE b.owner = models.owner AND b.name = models.name AND b.wants_latest = 1 AND v.deleted_at IS NULL
    AND v.manifest ->> 'schema' IS NOT NULL`;

/** When the present latest was pushed, or first offered by a pool. */
const LATEST_SINCE = `coalesce(
  (SELECT l.pushed_at FROM bundles l WHERE l.owner = models.owner AND l.name = models.name AND l.version = models.latest_version),
  (SELECT l.created_at FROM versions l WHERE l.owner = models.owner AND l.name = models.name AND l.id = models.latest_version), 0)`;

/** To be run in the transaction that made versions of these models live. */
export function promotions(
  db: D1Database,
  models: readonly { owner: string; name: string }[],
  now: number,
): D1PreparedStatement[] {
  const named = JSON.stringify(models.map(({ owner, name }) => ({ owner, name })));
  const isNamed = "(owner, name) IN (SELECT value ->> 'owner', value ->> 'name' FROM json_each(?1))";
  return [
    db
      .prepare(
        `UPDATE models SET updated_at = ?2,
           latest_version = (SELECT b.version ${LIVE_AND_WANTING} ORDER BY b.pushed_at DESC, b.version LIMIT 1)
         WHERE ${isNamed} AND deleted_at IS NULL AND EXISTS (SELECT 1 ${LIVE_AND_WANTING} AND b.pushed_at >= ${LATEST_SINCE})`,
      )
      .bind(named, now),
    db
      .prepare(
        `UPDATE bundles SET wants_latest = 0 WHERE ${isNamed} AND wants_latest = 1
           AND EXISTS (SELECT 1 FROM versions v WHERE v.owner = bundles.owner AND v.name = bundles.name AND v.id = bundles.version
             AND v.manifest ->> 'schema' IS NOT NULL)`,
      )
      .bind(named),
  ];
}
