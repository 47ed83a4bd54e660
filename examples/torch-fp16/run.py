from typing import List, Optional

from cog import BaseRunner, BatchInput, Input, Path
from encoder import LONGEST, Embedder


class Runner(BaseRunner):
    def setup(self, weights: Optional[Path] = None) -> None:
        """Without weights they are random, from a fixed seed: the work is the same, the vectors mean nothing."""
        self.embedder = Embedder(None if weights is None else str(weights))
        for size in (1, 8):
            self.embedder.embed(["warm up " * 8] * size)
        print("device: {}, {}".format(self.embedder.device, self.embedder.dtype))

    def run(self, text: str = Input(description="The text; what is beyond 512 bytes is cut")) -> List[float]:
        return self.embed([text])[0]

    def run_batch(self, inputs: List[BatchInput]) -> List[List[float]]:
        return self.embed([item.text for item in inputs])

    def embed(self, texts: List[str]) -> List[List[float]]:
        self.record_metric("batch_size", len(texts))
        self.record_metric("tokens", sum(min(LONGEST, len(text.encode())) for text in texts))
        return self.embedder.embed(texts).tolist()
