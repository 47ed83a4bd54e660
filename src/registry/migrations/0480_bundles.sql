-- Chunks of pushed files, by content, of each owner; the content lies in the bucket, as models/<owner>/chunks/<sha256>.
-- `state`: 0 on its way, 1 stored, 2 being deleted. `refs`: bundles that have it. `seen_at`: when one that no bundle has
-- was last asked for, in milliseconds.
CREATE TABLE bundle_chunks (
  owner TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  state INTEGER NOT NULL,
  refs INTEGER NOT NULL DEFAULT 0,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (owner, sha256)
) WITHOUT ROWID;
CREATE INDEX bundle_chunks_unused ON bundle_chunks (seen_at) WHERE refs = 0;
CREATE TRIGGER bundle_chunks_made AFTER INSERT ON bundle_chunks BEGIN
  INSERT INTO usage VALUES (new.owner, 'bundles', 1, new.bytes)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER bundle_chunks_changed AFTER UPDATE OF bytes ON bundle_chunks WHEN new.bytes <> old.bytes BEGIN
  UPDATE usage SET bytes = bytes + new.bytes - old.bytes WHERE owner = new.owner AND kind = 'bundles';
END;
CREATE TRIGGER bundle_chunks_deleted AFTER DELETE ON bundle_chunks BEGIN
  UPDATE usage SET count = count - 1, bytes = bytes - old.bytes WHERE owner = old.owner AND kind = 'bundles';
END;

-- Versions that were pushed. The list of a version's files is itself a chunk, named by the version. `manifest` has no
-- schema: the version's own has it once it is known. `nonce` is the push's that made the row, and counted its chunks.
CREATE TABLE bundles (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  manifest TEXT NOT NULL,
  lane TEXT NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  nonce TEXT NOT NULL,
  wants_latest INTEGER NOT NULL,
  pushed_at INTEGER NOT NULL,
  fetched_at INTEGER,
  stage TEXT,
  problem TEXT,
  log TEXT,
  deleted_at INTEGER,
  PRIMARY KEY (owner, name, version)
) WITHOUT ROWID;
CREATE INDEX bundles_by_push ON bundles (owner, pushed_at);
CREATE INDEX bundles_deleted ON bundles (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX bundles_wanting ON bundles (owner, name, pushed_at) WHERE wants_latest = 1;

-- Whatever deletes a version deletes its bundle, which a sweep takes away once nothing can need it.
CREATE TRIGGER bundle_of_deleted AFTER UPDATE OF deleted_at ON versions WHEN new.deleted_at IS NOT NULL AND old.deleted_at IS NULL BEGIN
  UPDATE bundles SET deleted_at = new.deleted_at, wants_latest = 0 WHERE owner = new.owner AND name = new.name AND version = new.id;
END;
CREATE TRIGGER bundle_of_removed AFTER DELETE ON versions WHEN old.deleted_at IS NULL BEGIN
  UPDATE bundles SET deleted_at = CAST(1000 * unixepoch('subsec') AS INTEGER), wants_latest = 0
    WHERE owner = old.owner AND name = old.name AND version = old.id;
END;
