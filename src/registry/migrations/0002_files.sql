-- Files that clients uploaded; their content lies in the bucket under files/<id>. Times are milliseconds since the epoch.
CREATE TABLE files (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  name TEXT NOT NULL,
  content_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_account ON files (account_id, created_at, id);
CREATE INDEX files_by_expiry ON files (expires_at);
