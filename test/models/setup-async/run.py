import asyncio

from cog import BaseRunner


class Runner(BaseRunner):
    async def setup(self) -> None:
        await asyncio.sleep(0.01)
        self.prefix = "async setup: "

    def run(self, text: str) -> str:
        return self.prefix + text
