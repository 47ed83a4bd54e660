-- Models that accounts made or changed through the API, and how often each version ran. Times are milliseconds since the epoch.
-- A deleted model or version stays as a mark, so that a pool that goes on offering it doesn't bring it back.
ALTER TABLE models ADD COLUMN visibility TEXT NOT NULL DEFAULT 'public' CHECK (visibility IN ('public', 'private'));
ALTER TABLE models ADD COLUMN hardware TEXT;
ALTER TABLE models ADD COLUMN readme TEXT;
ALTER TABLE models ADD COLUMN github_url TEXT;
ALTER TABLE models ADD COLUMN paper_url TEXT;
ALTER TABLE models ADD COLUMN license_url TEXT;
ALTER TABLE models ADD COLUMN weights_url TEXT;
ALTER TABLE models ADD COLUMN cover_image_url TEXT;
ALTER TABLE models ADD COLUMN deleted_at INTEGER;
ALTER TABLE versions ADD COLUMN deleted_at INTEGER;

CREATE TABLE runs (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  account_id TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (owner, name, version, account_id)
) WITHOUT ROWID;
