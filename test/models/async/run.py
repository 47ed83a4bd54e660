import asyncio
import sys

from cog import BaseRunner


class Runner(BaseRunner):
    async def run(self, text: str) -> str:
        await asyncio.sleep(0)
        if text == "leave":
            sys.exit(4)
        if text == "raise":
            raise ValueError("async went wrong")
        print("async said", text)
        return text.upper()
