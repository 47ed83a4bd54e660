-- What each account (of models and versions: each owner) has in the registry, kept by triggers, so that its quotas are one row to ask for.
CREATE TABLE usage (
  owner TEXT NOT NULL,
  kind TEXT NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (owner, kind)
) WITHOUT ROWID;

INSERT INTO usage SELECT account_id, 'keys', count(*), 0 FROM api_keys WHERE revoked_at IS NULL GROUP BY account_id;
CREATE TRIGGER keys_made AFTER INSERT ON api_keys WHEN new.revoked_at IS NULL BEGIN
  INSERT INTO usage VALUES (new.account_id, 'keys', 1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER keys_revoked AFTER UPDATE OF revoked_at ON api_keys WHEN old.revoked_at IS NULL AND new.revoked_at IS NOT NULL BEGIN
  INSERT INTO usage VALUES (new.account_id, 'keys', -1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER keys_deleted AFTER DELETE ON api_keys WHEN old.revoked_at IS NULL BEGIN
  INSERT INTO usage VALUES (old.account_id, 'keys', -1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;

INSERT INTO usage SELECT owner, 'models', count(*), 0 FROM models WHERE deleted_at IS NULL GROUP BY owner;
CREATE TRIGGER models_made AFTER INSERT ON models WHEN new.deleted_at IS NULL BEGIN
  INSERT INTO usage VALUES (new.owner, 'models', 1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER models_changed AFTER UPDATE OF deleted_at ON models WHEN (old.deleted_at IS NULL) <> (new.deleted_at IS NULL) BEGIN
  INSERT INTO usage VALUES (new.owner, 'models', iif(new.deleted_at IS NULL, 1, -1), 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER models_deleted AFTER DELETE ON models WHEN old.deleted_at IS NULL BEGIN
  INSERT INTO usage VALUES (old.owner, 'models', -1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;

INSERT INTO usage SELECT owner, 'versions', sum(deleted_at IS NULL), sum(length(CAST(manifest AS BLOB))) FROM versions GROUP BY owner;
CREATE TRIGGER versions_made AFTER INSERT ON versions BEGIN
  INSERT INTO usage VALUES (new.owner, 'versions', (new.deleted_at IS NULL), length(CAST(new.manifest AS BLOB)))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER versions_changed AFTER UPDATE OF manifest, deleted_at ON versions BEGIN
  INSERT INTO usage VALUES (new.owner, 'versions', (new.deleted_at IS NULL) - (old.deleted_at IS NULL), length(CAST(new.manifest AS BLOB)) - length(CAST(old.manifest AS BLOB)))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER versions_deleted AFTER DELETE ON versions BEGIN
  INSERT INTO usage VALUES (old.owner, 'versions', -(old.deleted_at IS NULL), -length(CAST(old.manifest AS BLOB)))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;

INSERT INTO usage SELECT account_id, 'deployments', count(*), 0 FROM deployments GROUP BY account_id;
CREATE TRIGGER deployments_made AFTER INSERT ON deployments BEGIN
  INSERT INTO usage VALUES (new.account_id, 'deployments', 1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER deployments_deleted AFTER DELETE ON deployments BEGIN
  INSERT INTO usage VALUES (old.account_id, 'deployments', -1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;

INSERT INTO usage SELECT account_id, 'files', count(*), sum(size_bytes) FROM files GROUP BY account_id;
INSERT INTO usage SELECT account_id, 'metadata', 0, sum(length(CAST(name AS BLOB)) + length(CAST(metadata AS BLOB))) FROM files GROUP BY account_id;
CREATE TRIGGER files_made AFTER INSERT ON files BEGIN
  INSERT INTO usage VALUES (new.account_id, 'files', 1, new.size_bytes)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
  INSERT INTO usage VALUES (new.account_id, 'metadata', 0, length(CAST(new.name AS BLOB)) + length(CAST(new.metadata AS BLOB)))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER files_deleted AFTER DELETE ON files BEGIN
  INSERT INTO usage VALUES (old.account_id, 'files', -1, -old.size_bytes)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
  INSERT INTO usage VALUES (old.account_id, 'metadata', 0, -(length(CAST(old.name AS BLOB)) + length(CAST(old.metadata AS BLOB))))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;

-- The bytes of uploads count as those of the files that they become.
INSERT INTO usage SELECT account_id, 'uploads', count(*), 0 FROM uploads WHERE account_id IS NOT NULL GROUP BY account_id;
INSERT INTO usage SELECT account_id, 'files', 0, sum(size_bytes) FROM uploads WHERE account_id IS NOT NULL GROUP BY account_id
  ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
INSERT INTO usage SELECT account_id, 'metadata', 0, sum(length(CAST(name AS BLOB)) + length(CAST(metadata AS BLOB))) FROM uploads WHERE account_id IS NOT NULL GROUP BY account_id
  ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
CREATE TRIGGER uploads_started AFTER INSERT ON uploads WHEN new.account_id IS NOT NULL BEGIN
  INSERT INTO usage VALUES (new.account_id, 'uploads', 1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
  INSERT INTO usage VALUES (new.account_id, 'files', 0, new.size_bytes)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
  INSERT INTO usage VALUES (new.account_id, 'metadata', 0, length(CAST(new.name AS BLOB)) + length(CAST(new.metadata AS BLOB)))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER uploads_ended AFTER DELETE ON uploads WHEN old.account_id IS NOT NULL BEGIN
  INSERT INTO usage VALUES (old.account_id, 'uploads', -1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
  INSERT INTO usage VALUES (old.account_id, 'files', 0, -old.size_bytes)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
  INSERT INTO usage VALUES (old.account_id, 'metadata', 0, -(length(CAST(old.name AS BLOB)) + length(CAST(old.metadata AS BLOB))))
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;

-- Devices are nobody's: all pools share one quota.
INSERT INTO usage SELECT '', 'devices', count(*), 0 FROM devices;
CREATE TRIGGER devices_seen AFTER INSERT ON devices BEGIN
  INSERT INTO usage VALUES ('', 'devices', 1, 0)
    ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes;
END;
