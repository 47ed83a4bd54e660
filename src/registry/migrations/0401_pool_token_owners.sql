-- The owners whose models a pool token may register: a JSON list of names.
ALTER TABLE pool_tokens ADD COLUMN owners TEXT NOT NULL DEFAULT '["local"]';
