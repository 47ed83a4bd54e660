-- What the operator's lists page by.
CREATE INDEX accounts_by_creation ON accounts (created_at, id);
CREATE INDEX pool_tokens_by_creation ON pool_tokens (created_at, id);
