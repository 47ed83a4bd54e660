-- Which log the lanes produce to: the newest epoch counts. Passwords are sealed with the deployment's secret.
CREATE TABLE log_settings (
  epoch INTEGER PRIMARY KEY,
  driver TEXT NOT NULL CHECK (driver IN ('embedded', 'upstash')),
  url TEXT,
  username TEXT,
  password TEXT,
  pool_username TEXT,
  pool_password TEXT,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
