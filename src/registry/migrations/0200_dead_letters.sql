-- Dead letters, for the operator to look at and to replay. The predictions themselves stay in their shards.
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  lane TEXT NOT NULL,
  reason TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  replayed_as TEXT
) WITHOUT ROWID;
CREATE INDEX dead_letters_by_time ON dead_letters (ended_at, id);
