import time

from cog import BaseRunner, ConcatenateIterator


class Runner(BaseRunner):
    """Yields much, each chunk begun with its number, at a rate that the edge takes."""

    def run(self, chunks: int = 480, chunk_bytes: int = 65536, per_second: float = 80) -> ConcatenateIterator[str]:
        begun = time.perf_counter()
        for index in range(chunks):
            time.sleep(max(0, begun + index / per_second - time.perf_counter()))
            yield str(index).ljust(chunk_bytes, ".")
