from typing import List

from cog import BaseRunner


class Runner(BaseRunner):
    """Gives much at once: lists of small values, as JSON of about `mib` MiB."""

    def run(self, mib: int = 16) -> List[List[int]]:
        return [[1000 + index % 9000] * 100 for index in range(mib * 2000)]
