import os
import time

from cog import BasePredictor, Input


class Predictor(BasePredictor):
    """Takes as long as it is told. Each run is noted as `echo` does."""

    def predict(self, key: str = Input(), seconds: float = Input()) -> str:
        with open(os.environ["CHAOS_RUNS_FILE"], "ab", buffering=0) as runs:
            runs.write("{} {} {:.3f}\n".format(key, os.getpid(), time.time()).encode())
        time.sleep(seconds)
        return key
