-- Tokens of rented machines: bound to one, and expiring, in milliseconds since the epoch.
ALTER TABLE pool_tokens ADD COLUMN machine TEXT;
ALTER TABLE pool_tokens ADD COLUMN expires_at INTEGER;
CREATE INDEX pool_tokens_expiring ON pool_tokens (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;

-- Tokens of those that machines come from. `scope`: provider (it is told what to rent) or metrics (it reads what is wanted).
CREATE TABLE scaling_tokens (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  scope TEXT NOT NULL,
  providers TEXT,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER,
  has_mac INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX scaling_tokens_by_time ON scaling_tokens (created_at, id);
CREATE INDEX scaling_tokens_revoked ON scaling_tokens (revoked_at) WHERE revoked_at IS NOT NULL;

-- What keeps machines though nothing waits.
CREATE INDEX deployments_keeping ON deployments (account_id, name) WHERE min_instances > 0;
CREATE INDEX models_keeping ON models (owner, name) WHERE configuration ->> '$.scaling.min' > 0;
CREATE INDEX versions_keeping ON versions (owner, name, id) WHERE manifest ->> '$.scaling.min' > 0;
