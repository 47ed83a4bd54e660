import asyncio
import subprocess

import cog


class Runner(cog.BaseRunner):
    def setup(self) -> None:
        self.running = 0
        self.most = 0

    @cog.concurrent(max=4)
    async def run(self, name: str, seconds: float = 0.2) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        print("hello from", name)
        self.record_metric("name", name)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1
        print("goodbye from", name, end="")
        return self.most
