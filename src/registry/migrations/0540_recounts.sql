-- Owners of chunks that are counted anew: the list of something that was removed was gone, so that nobody knows which
-- chunks it counted. A sweep goes through the lists that are left: those that it has seen, by the nonces of their rows,
-- and how many of these have a chunk.
CREATE TABLE chunk_recounts (owner TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE recounted_lists (owner TEXT NOT NULL, nonce TEXT NOT NULL, PRIMARY KEY (owner, nonce)) WITHOUT ROWID;
CREATE TABLE recounted_chunks (
  owner TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  refs INTEGER NOT NULL,
  PRIMARY KEY (owner, sha256)
) WITHOUT ROWID;
