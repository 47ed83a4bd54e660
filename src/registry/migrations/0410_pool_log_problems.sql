-- Pools that can't read the log of their lane, as they said themselves.
CREATE TABLE pool_log_problems (
  token TEXT NOT NULL,
  pool TEXT NOT NULL,
  lane TEXT NOT NULL,
  problem TEXT NOT NULL,
  since INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (token, pool, lane)
) WITHOUT ROWID;
