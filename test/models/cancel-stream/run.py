import time
from typing import Iterator

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, count: int, pause: float, size: int = 1000) -> Iterator[str]:
        for index in range(count):
            time.sleep(pause)
            yield "x" * size
