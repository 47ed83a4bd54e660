-- How the predictions of a name (`latest`, an alias, a deployment) are split between its version and another one. One row
-- a name: the split that holds, or the last that did. It holds while it has not ended and the name points to its base.
CREATE TABLE canaries (
  pointer TEXT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  base TEXT NOT NULL,
  version TEXT NOT NULL,
  percent REAL NOT NULL,
  sticky_by TEXT NOT NULL,
  steps TEXT NOT NULL,
  step INTEGER NOT NULL,
  step_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT CHECK (outcome IN ('returned', 'promoted', 'aborted', 'moved')),
  reason TEXT,
  numbers TEXT
) WITHOUT ROWID;
CREATE INDEX canaries_by_version ON canaries (owner, name, version) WHERE ended_at IS NULL;
