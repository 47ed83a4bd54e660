-- Versions of uploaded plugins; the module of each lies in the bucket, as plugins/<hash>.js.
CREATE TABLE plugin_uploads (
  hash TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  manifest TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX plugin_uploads_by_name ON plugin_uploads (name, created_at, hash);
CREATE INDEX plugin_uploads_by_creation ON plugin_uploads (created_at, hash);
