-- Which pools are connected: a push tells those that serve no model on its lane yet.
CREATE INDEX pools_by_state ON pools (state, seen_at);
