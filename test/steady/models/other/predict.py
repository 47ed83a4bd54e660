import os
import time

from cog import BasePredictor, Input


class Predictor(BasePredictor):
    """Works as long as it is told to, and says on which host."""

    def setup(self) -> None:
        if os.environ.get("STEADY_SICK") == "1":
            raise RuntimeError("this host has no weights")

    def predict(self, seconds: float = Input(default=0)) -> str:
        time.sleep(seconds)
        return os.environ.get("STEADY_HOST", "first")
