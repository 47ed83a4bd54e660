-- Deployments: a name of an account's for one version of a model, with what scaling goes by. Each change is a new release.
CREATE TABLE deployments (
  account_id TEXT NOT NULL REFERENCES accounts (id),
  name TEXT NOT NULL,
  model_owner TEXT NOT NULL,
  model_name TEXT NOT NULL,
  version TEXT NOT NULL,
  hardware TEXT NOT NULL,
  min_instances INTEGER NOT NULL,
  max_instances INTEGER NOT NULL,
  release INTEGER NOT NULL,
  released_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, name)
) WITHOUT ROWID;
CREATE INDEX deployments_by_version ON deployments (model_owner, model_name, version);
