import tempfile
from typing import Iterator

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self) -> Iterator[Path]:
        same = Path(tempfile.gettempdir()) / "edgeplane-stream-paths.txt"
        for text in ("one", "two"):
            same.write_text(text)
            yield same
