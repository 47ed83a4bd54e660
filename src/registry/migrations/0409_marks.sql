-- What is left of deleted models and versions, of which each owner keeps as many as it may have models and versions: the oldest go.
CREATE INDEX models_deleted ON models (owner, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX versions_deleted ON versions (owner, deleted_at) WHERE deleted_at IS NOT NULL;
