-- How a model runs, in place of what its files say: a JSON object, null for nothing.
ALTER TABLE models ADD COLUMN configuration TEXT;
CREATE INDEX models_configured ON models (owner, name) WHERE configuration IS NOT NULL;
