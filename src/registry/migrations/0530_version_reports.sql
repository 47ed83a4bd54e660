-- `reports`: which hosts could not run a version, by host, as JSON (src/registry/version-reports.ts); null: none said
-- so. `failed`: 0 hosts go on trying; 1 all that may run it have tried; 2 so many have that nobody else does.
ALTER TABLE bundles ADD COLUMN reports TEXT;
ALTER TABLE bundles ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
UPDATE bundles SET failed = 2 WHERE problem IS NOT NULL;
