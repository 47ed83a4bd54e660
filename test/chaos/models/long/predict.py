import time

from cog import BasePredictor, Input
from held import held


class Predictor(BasePredictor):
    """Takes as long as it is told. Each run is noted as `echo` does."""

    def predict(self, key: str = Input(), seconds: float = Input()) -> str:
        with held([key]):
            time.sleep(seconds)
        return key
