-- Plugins that came with a pushed version, as JSON (src/contract/attached-plugin.ts); null: none. `plugin_problem` is what
-- last went wrong with one of them, with the time, as JSON.
ALTER TABLE bundles ADD COLUMN plugins TEXT;
ALTER TABLE bundles ADD COLUMN plugin_problem TEXT;
