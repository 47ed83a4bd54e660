-- How often all accounts ran each model, added up as the runs are noted, so that nobody need sum them.
ALTER TABLE models ADD COLUMN run_count INTEGER NOT NULL DEFAULT 0;
UPDATE models SET run_count = (SELECT coalesce(sum(count), 0) FROM runs WHERE runs.owner = models.owner AND runs.name = models.name);
