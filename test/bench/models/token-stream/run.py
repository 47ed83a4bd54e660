"""Yields chunks at a steady rate; each tells when it was yielded, in seconds since the epoch."""

import asyncio
import time

from cog import AsyncConcatenateIterator, BaseRunner


class Runner(BaseRunner):
    async def run(self, chunks: int = 500, per_second: float = 50) -> AsyncConcatenateIterator[str]:
        begun = time.perf_counter()
        for index in range(chunks):
            pause = begun + index / per_second - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            yield "{:.6f} a token or two ".format(time.time())
