import time
from typing import List

from cog import BasePredictor, BatchInput, Input
from held import held

WORK_SECONDS = 0.01


class Predictor(BasePredictor):
    """Squares a number, slowly enough that it can be killed meanwhile. Each run is noted before it works."""

    def predict(self, key: str = Input(), number: int = Input(), seconds: float = Input(default=WORK_SECONDS)) -> str:
        return self.work([(key, number)], seconds)[0]

    def predict_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.work([(item.key, item.number) for item in inputs], max(item.seconds for item in inputs))

    def work(self, items: List[tuple], seconds: float) -> List[str]:
        with held([key for key, _ in items]):
            time.sleep(seconds)
            return ["{}:{}".format(key, number * number) for key, number in items]
