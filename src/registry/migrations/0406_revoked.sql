-- What the sweep of revoked credentials looks through.
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX pool_tokens_revoked ON pool_tokens (revoked_at) WHERE revoked_at IS NOT NULL;
