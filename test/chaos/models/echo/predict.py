import os
import time
from typing import List

from cog import BasePredictor, BatchInput, Input

WORK_SECONDS = 0.01


class Predictor(BasePredictor):
    """Squares a number, slowly enough that it can be killed meanwhile. Each run is noted in CHAOS_RUNS_FILE before it works."""

    def predict(self, key: str = Input(), number: int = Input()) -> str:
        self.note([key])
        time.sleep(WORK_SECONDS)
        return "{}:{}".format(key, number * number)

    def predict_batch(self, inputs: List[BatchInput]) -> List[str]:
        self.note([item.key for item in inputs])
        time.sleep(WORK_SECONDS)
        return ["{}:{}".format(item.key, item.number * item.number) for item in inputs]

    def note(self, keys: List[str]) -> None:
        with open(os.environ["CHAOS_RUNS_FILE"], "ab", buffering=0) as runs:
            runs.write("".join("{} {} {:.3f}\n".format(key, os.getpid(), time.time()) for key in keys).encode())
