-- Whether a credential carries a MAC. Those made before don't; the indexes hold those that still open something.
ALTER TABLE api_keys ADD COLUMN has_mac INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pool_tokens ADD COLUMN has_mac INTEGER NOT NULL DEFAULT 0;
CREATE INDEX api_keys_without_mac ON api_keys (hash) WHERE has_mac = 0 AND revoked_at IS NULL;
CREATE INDEX pool_tokens_without_mac ON pool_tokens (hash) WHERE has_mac = 0 AND revoked_at IS NULL;
