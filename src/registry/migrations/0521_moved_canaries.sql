-- Whoever moves `latest` away from both versions of its canary, a push above all, ends that: its version is fetched ahead
-- by pools no longer.
CREATE TRIGGER canary_moved AFTER UPDATE OF latest_version ON models
WHEN new.latest_version IS NOT old.latest_version BEGIN
  UPDATE canaries SET ended_at = CAST(1000 * unixepoch('subsec') AS INTEGER), outcome = 'moved'
    WHERE pointer = 'alias ' || new.owner || '/' || new.name || ':latest' AND ended_at IS NULL
      AND new.latest_version IS NOT base AND new.latest_version IS NOT version;
END;
UPDATE canaries SET ended_at = CAST(1000 * unixepoch('subsec') AS INTEGER), outcome = 'moved'
  WHERE ended_at IS NULL AND pointer = 'alias ' || owner || '/' || name || ':latest' AND EXISTS (
    SELECT 1 FROM models m WHERE m.owner = canaries.owner AND m.name = canaries.name
      AND m.latest_version IS NOT canaries.base AND m.latest_version IS NOT canaries.version);
