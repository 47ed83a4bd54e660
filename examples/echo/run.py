from typing import Any, List

from cog import BaseRunner, BatchInput, Input


class Runner(BaseRunner):
    """Gives back what it gets: what is left of the time is the way there and back."""

    def run(self, value: Any = Input(description="Any JSON value", default=None)) -> Any:
        return value

    def run_batch(self, inputs: List[BatchInput]) -> List[Any]:
        return [item.value for item in inputs]
