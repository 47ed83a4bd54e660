-- The secrets that an account's webhooks are signed with. One has no end; a replaced one stays valid until its end. Times are
-- milliseconds since the epoch.
CREATE TABLE webhook_secrets (
  account_id TEXT NOT NULL REFERENCES accounts (id),
  secret TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (account_id, secret)
) WITHOUT ROWID;
CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (account_id) WHERE expires_at IS NULL;
