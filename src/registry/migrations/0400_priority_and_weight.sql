-- The highest priority that a key may ask for, and an account's share of the GPUs beside the others'.
ALTER TABLE api_keys ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal' CHECK (priority IN ('high', 'normal', 'low'));
ALTER TABLE accounts ADD COLUMN weight REAL NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0.01 AND 1000);
