-- Uploads in parts that are under way: a client's file, or (without an account) a pool's output. The content lies in the bucket as a
-- multipart upload of blob_key. Times are milliseconds since the epoch.
CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  account_id TEXT REFERENCES accounts (id),
  blob_key TEXT NOT NULL,
  multipart_id TEXT NOT NULL,
  name TEXT NOT NULL,
  content_type TEXT NOT NULL,
  metadata TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  part_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX uploads_by_account ON uploads (account_id, created_at, id);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);
CREATE INDEX uploads_by_key ON uploads (blob_key);

CREATE TABLE upload_parts (
  upload_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  etag TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;

-- The bucket's own tag of a file's content, which downloads carry as their ETag.
ALTER TABLE files ADD COLUMN etag TEXT;
