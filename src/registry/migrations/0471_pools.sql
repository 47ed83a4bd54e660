-- The pools that have come, by session: for the operator. `state`: connected, draining, away or ended.
CREATE TABLE pools (
  session TEXT PRIMARY KEY,
  token TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  lanes TEXT NOT NULL,
  devices TEXT NOT NULL,
  isolation TEXT,
  models TEXT NOT NULL,
  state TEXT NOT NULL,
  connected_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX pools_by_time ON pools (connected_at, session);
CREATE INDEX pools_of_token ON pools (token, state, seen_at);
