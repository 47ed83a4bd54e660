-- Secrets of models (HF_TOKEN and the like), sealed; only pools that may run the model read them.
CREATE TABLE model_secrets (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  secret TEXT NOT NULL,
  sealed TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (owner, name, secret)
) WITHOUT ROWID;
