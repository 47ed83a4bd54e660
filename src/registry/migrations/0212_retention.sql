-- How long an account's data is kept after its end, in milliseconds; null: the default.
ALTER TABLE accounts ADD COLUMN retention_ms INTEGER;
