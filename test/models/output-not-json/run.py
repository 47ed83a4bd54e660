from typing import Any

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, what: str) -> Any:
        if what == "nan":
            return {"scores": [1.0, float("nan")]}
        if what == "bytes":
            return b"x"
        if what == "self":
            loop = []
            loop.append(loop)
            return loop
        if what == "integer":
            return 9007199254740993
        if what == "surrogate":
            return "\ud800 ü"
        if what == "keys":
            return {1: "a", (2, 3): "b"}
        return object()
