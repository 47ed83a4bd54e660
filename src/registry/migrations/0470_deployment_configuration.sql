-- What a deployment says of how its version runs: a JSON object, null for nothing.
ALTER TABLE deployments ADD COLUMN configuration TEXT;
CREATE INDEX deployments_configured ON deployments (model_owner, model_name, version) WHERE configuration IS NOT NULL;
