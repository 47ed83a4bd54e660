from typing import Optional

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def setup(self, weights: Optional[Path] = None) -> None:
        self.weights = weights

    def run(self) -> str:
        return "none" if self.weights is None else self.weights.read_text()
