import asyncio

from cog import BaseRunner


class Runner(BaseRunner):
    async def setup(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue = asyncio.Queue()

    async def run(self) -> bool:
        await self.queue.put(1)
        await self.queue.get()
        return asyncio.get_running_loop() is self.loop
