from typing import Iterator

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, count: int) -> Iterator[dict]:
        for index in range(count):
            print("step", index)
            yield {"index": index}
