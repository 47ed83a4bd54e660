import asyncio
from typing import AsyncIterator

from cog import AsyncConcatenateIterator, BaseRunner, streaming


class Runner(BaseRunner):
    @streaming()
    async def run(self, count: int = 3) -> AsyncConcatenateIterator[str]:
        for index in range(count):
            await asyncio.sleep(0)
            yield str(index)
