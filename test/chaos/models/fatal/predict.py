import os
import signal
import time
from typing import List

from cog import BasePredictor, BatchInput, Input
from held import held

WORK_SECONDS = 0.01


class Predictor(BasePredictor):
    """Squares a number, unless an input of the batch kills the process, or the whole pool. Each run is noted as `echo`
    does."""

    def predict(
        self,
        key: str = Input(),
        number: int = Input(),
        kills: str = Input(default="nothing", choices=["nothing", "process", "pool"]),
    ) -> str:
        return self.work([(key, number, kills)])[0]

    def predict_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.work([(item.key, item.number, item.kills) for item in inputs])

    def work(self, items: List[tuple]) -> List[str]:
        with held([key for key, _, _ in items]):
            time.sleep(WORK_SECONDS)
            if any(kills == "pool" for _, _, kills in items):
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(1)
            if any(kills == "process" for _, _, kills in items):
                os.kill(os.getpid(), signal.SIGKILL)
        return ["{}:{}".format(key, number * number) for key, number, _ in items]
