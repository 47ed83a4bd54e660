import os
import time

from cog import BasePredictor


class Predictor(BasePredictor):
    """Works for a while, and says on which host."""

    def predict(self, seconds: float, before: str = "") -> str:
        time.sleep(seconds)
        return before + os.environ.get("STEADY_HOST", "")
