from typing import Iterator

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, text: str = "", size: int = 0) -> str:
        return text if size == 0 else "é" * size
