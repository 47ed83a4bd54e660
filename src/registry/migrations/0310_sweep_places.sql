-- How far a sweep that goes through everything, some at a time, has come.
CREATE TABLE sweep_places (
  name TEXT PRIMARY KEY,
  place TEXT NOT NULL
) WITHOUT ROWID;
