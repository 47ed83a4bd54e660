from typing import AsyncIterator

from cog import BaseRunner


class Runner(BaseRunner):
    async def run(self) -> AsyncIterator[int]:
        yield 1
        yield 2
