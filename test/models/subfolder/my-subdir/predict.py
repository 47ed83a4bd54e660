from cog import BasePredictor
from mylib import concat
from neighbour import LOUD


class Predictor(BasePredictor):
    def predict(self, s: str) -> str:
        return concat("hello", s) + LOUD
