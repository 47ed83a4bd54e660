-- Readmes lie in the bucket, under readmes/<owner>/<name>; the row has their length, null where there is none. Those that still lie in the row are
-- moved by a sweep.
ALTER TABLE models ADD COLUMN readme_bytes INTEGER;
CREATE INDEX models_with_readme ON models (owner, name) WHERE readme IS NOT NULL;
