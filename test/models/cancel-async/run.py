import asyncio

from cog import BaseRunner, concurrent


class Runner(BaseRunner):
    def setup(self) -> None:
        self.cleaned = 0

    @concurrent(max=2)
    async def run(self, seconds: float = 0) -> int:
        print("running")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cleaned += 1
            raise
        return self.cleaned
