-- The models that a key may use (a JSON list of `owner/name` and `owner/*`, null: all), when it expires, and, of a key
-- that took another one's place, the first one's id: limits count both as one.
ALTER TABLE api_keys ADD COLUMN models TEXT;
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN first_id TEXT;
CREATE INDEX api_keys_expiring ON api_keys (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
