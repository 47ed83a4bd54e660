import asyncio

from cog import BaseRunner


class Runner(BaseRunner):
    async def healthcheck(self) -> bool:
        await asyncio.sleep(0)
        return False

    async def run(self) -> str:
        return "ok"
