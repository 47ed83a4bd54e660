import asyncio

from cog import BasePredictor


class Predictor(BasePredictor):
    async def predict(self) -> str:
        await asyncio.sleep(0)
        return "ok"
