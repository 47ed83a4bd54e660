-- Whose prediction a dead letter was: each account has its own quota of them, and its oldest go first. Null: from before.
ALTER TABLE dead_letters ADD COLUMN account_id TEXT;
CREATE INDEX dead_letters_by_account ON dead_letters (account_id, ended_at, id);
CREATE TRIGGER dead_letters_made AFTER INSERT ON dead_letters WHEN new.account_id IS NOT NULL BEGIN
  INSERT INTO usage VALUES (new.account_id, 'dead_letters', 1, 0) ON CONFLICT DO UPDATE SET count = count + excluded.count;
END;
CREATE TRIGGER dead_letters_deleted AFTER DELETE ON dead_letters WHEN old.account_id IS NOT NULL BEGIN
  UPDATE usage SET count = count - 1 WHERE owner = old.account_id AND kind = 'dead_letters';
END;
