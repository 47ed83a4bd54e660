-- Environments that pools have built, for other pools of the same owner. `key`: what the environment is built from, as a
-- SHA-256. `list`: the SHA-256 of the list of its files, which is a chunk, as all of them are: they lie in
-- `bundle_chunks` under the owner `environments/<owner>`. `nonce`: of the call that made the row and counted its chunks.
CREATE TABLE environment_layers (
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  list TEXT NOT NULL,
  about TEXT NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  pool_token_id TEXT NOT NULL,
  nonce TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL,
  PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX environment_layers_by_use ON environment_layers (used_at);

-- Whether the pool token may store environments that other pools then run.
ALTER TABLE pool_tokens ADD COLUMN may_store_environments INTEGER NOT NULL DEFAULT 0;
