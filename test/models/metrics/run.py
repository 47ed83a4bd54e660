from cog import BaseRunner, current_scope


class Runner(BaseRunner):
    def run(self) -> str:
        self.record_metric("temperature", 0.7)
        self.record_metric("token_count", 1, mode="incr")
        self.record_metric("token_count", 2, mode="incr")
        self.record_metric("tags", "fast", mode="append")
        self.record_metric("tags", "cached", mode="append")
        self.record_metric("timing.preprocess", 0.1)
        self.record_metric("timing.inference", 0.85)
        scope = current_scope()
        scope.metrics["dict_metric"] = "hello"
        scope.metrics["gone"] = 1
        del scope.metrics["gone"]
        self.scope.metrics.record("kept", 1)
        self.record_metric("kept", None)
        return "ok"
