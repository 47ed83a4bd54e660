from typing import Any

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, value: Any = None, **rest: Any) -> Any:
        return [value, rest]
