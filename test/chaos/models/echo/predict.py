import time
from typing import List

from cog import BasePredictor, BatchInput, Input
from held import held

WORK_SECONDS = 0.01


class Predictor(BasePredictor):
    """Squares a number, slowly enough that it can be killed meanwhile. Each run is noted before it works."""

    def predict(self, key: str = Input(), number: int = Input()) -> str:
        return self.work([(key, number)])[0]

    def predict_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.work([(item.key, item.number) for item in inputs])

    def work(self, items: List[tuple]) -> List[str]:
        with held([key for key, _ in items]):
            time.sleep(WORK_SECONDS)
            return ["{}:{}".format(key, number * number) for key, number in items]
