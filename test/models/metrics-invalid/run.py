from cog import BaseRunner, current_scope


class Runner(BaseRunner):
    def run(self, name: str = "valid_name") -> str:
        scope = current_scope()
        if name == "type":
            scope.record_metric("count", 1)
            scope.record_metric("count", "oops")
        if name == "long":
            name = "a" * 129
        if name == "value":
            scope.record_metric("value", object())
        if name == "mode":
            scope.record_metric("value", 1, mode="average")
        if name == "sum":
            for _ in range(2):
                scope.record_metric("sum", 1e308, mode="incr")
            return "ok"
        scope.record_metric(name, 1)
        return "ok"
