import asyncio

from cog import BasePredictor, Input
from held import held


class Predictor(BasePredictor):
    """Holds its card for as long as it is told to, four times at once."""

    async def predict(self, key: str = Input(), seconds: float = Input()) -> str:
        with held([key]):
            await asyncio.sleep(seconds)
        return key
