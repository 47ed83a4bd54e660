-- By which rules a request that names the model alone is given a version; null: `latest` has them all.
ALTER TABLE models ADD COLUMN routes TEXT;
