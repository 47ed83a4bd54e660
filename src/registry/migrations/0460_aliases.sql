-- Names that a model's owner moves from version to version. `latest` has no row here: it is the model's own column.
CREATE TABLE aliases (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  alias TEXT NOT NULL,
  version TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (owner, name, alias)
) WITHOUT ROWID;
CREATE INDEX aliases_by_version ON aliases (owner, name, version);

-- What each name, `latest` included, has pointed to: the last 20 moves. Whoever moves one, a trigger notes it. What was
-- rolled back has `undone_at`: the newest move without it says where the name points now.
CREATE TABLE alias_moves (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  alias TEXT NOT NULL,
  number INTEGER NOT NULL,
  version TEXT NOT NULL,
  at INTEGER NOT NULL,
  undone_at INTEGER,
  PRIMARY KEY (owner, name, alias, number)
) WITHOUT ROWID;
INSERT INTO alias_moves SELECT owner, name, 'latest', 1, latest_version, updated_at, NULL FROM models
  WHERE latest_version IS NOT NULL;

CREATE TRIGGER latest_made AFTER INSERT ON models WHEN new.latest_version IS NOT NULL BEGIN
  INSERT INTO alias_moves SELECT new.owner, new.name, 'latest',
    1 + coalesce((SELECT max(number) FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = 'latest'), 0),
    new.latest_version, CAST(1000 * unixepoch('subsec') AS INTEGER), NULL;
END;
CREATE TRIGGER latest_moved AFTER UPDATE OF latest_version ON models
WHEN new.latest_version IS NOT NULL AND new.latest_version IS NOT old.latest_version BEGIN
  INSERT INTO alias_moves SELECT new.owner, new.name, 'latest',
    1 + coalesce((SELECT max(number) FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = 'latest'), 0),
    new.latest_version, CAST(1000 * unixepoch('subsec') AS INTEGER), NULL
    WHERE new.latest_version IS NOT (SELECT version FROM alias_moves
      WHERE owner = new.owner AND name = new.name AND alias = 'latest' AND undone_at IS NULL ORDER BY number DESC LIMIT 1);
  DELETE FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = 'latest' AND number <=
    (SELECT max(number) FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = 'latest') - 20;
END;
CREATE TRIGGER alias_made AFTER INSERT ON aliases BEGIN
  INSERT INTO alias_moves SELECT new.owner, new.name, new.alias,
    1 + coalesce((SELECT max(number) FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = new.alias), 0),
    new.version, new.updated_at, NULL;
END;
CREATE TRIGGER alias_moved AFTER UPDATE OF version ON aliases WHEN new.version IS NOT old.version BEGIN
  INSERT INTO alias_moves SELECT new.owner, new.name, new.alias,
    1 + coalesce((SELECT max(number) FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = new.alias), 0),
    new.version, new.updated_at, NULL
    WHERE new.version IS NOT (SELECT version FROM alias_moves
      WHERE owner = new.owner AND name = new.name AND alias = new.alias AND undone_at IS NULL ORDER BY number DESC LIMIT 1);
  DELETE FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = new.alias AND number <=
    (SELECT max(number) FROM alias_moves WHERE owner = new.owner AND name = new.name AND alias = new.alias) - 20;
END;
CREATE TRIGGER alias_deleted AFTER DELETE ON aliases BEGIN
  DELETE FROM alias_moves WHERE owner = old.owner AND name = old.name AND alias = old.alias;
END;
