from typing import List

from cog import BaseRunner, BatchInput, Input


class Runner(BaseRunner):
    """Each prediction says how large the batch was that it ran in: metrics.batch_size."""

    def run(self, text: str = Input(description="The text to write in capitals")) -> str:
        return text.upper()

    def run_batch(self, inputs: List[BatchInput]) -> List[str]:
        self.record_metric("batch_size", len(inputs))
        return [item.text.upper() for item in inputs]
