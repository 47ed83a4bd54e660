from typing import List

from cog import BaseRunner, BatchInput, Path


class Runner(BaseRunner):
    def run(self, file: Path) -> int:
        return file.stat().st_size

    def run_batch(self, inputs: List[BatchInput]) -> List[int]:
        return [self.run(one.file) for one in inputs]
