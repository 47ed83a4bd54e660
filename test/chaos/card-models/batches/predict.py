import time
from typing import List

from cog import BasePredictor, BatchInput, Input
from held import held


class Predictor(BasePredictor):
    """Holds its card for as long as it is told to, for up to four at a time."""

    def predict(self, key: str = Input(), seconds: float = Input()) -> str:
        return self.work([key], seconds)[0]

    def predict_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.work([item.key for item in inputs], max(item.seconds for item in inputs))

    def work(self, keys: List[str], seconds: float) -> List[str]:
        with held(keys):
            time.sleep(seconds)
        return keys
