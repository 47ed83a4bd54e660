-- What may be spent: by an account, one of its keys, or on a model by all accounts; `balance` stands for what an account
-- pays ahead. `subject`: `account:<id>`, `key:<id>` or `model:<owner>/<name>`. Amounts in 10^-9 of the currency. What was
-- spent stands in the ledger objects.
CREATE TABLE budgets (
  subject TEXT NOT NULL,
  period TEXT NOT NULL,
  account_id TEXT,
  name TEXT NOT NULL,
  limit_nano INTEGER NOT NULL,
  currency TEXT NOT NULL,
  kind TEXT NOT NULL,
  webhook TEXT,
  webhook_account TEXT,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (subject, period)
) WITHOUT ROWID;
CREATE INDEX budgets_by_account ON budgets (account_id) WHERE account_id IS NOT NULL;
