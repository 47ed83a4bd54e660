import os
import sys
from typing import Iterator

from cog import BaseRunner, Input


class Runner(BaseRunner):
    """Prints what it is told, everywhere it can, and ends as it is told."""

    def run(
        self, text: str = Input(), end: str = Input(default="well", choices=["well", "raises", "dies"])
    ) -> Iterator[str]:
        print("printed " + text)
        print("complained " + text, file=sys.stderr, flush=True)
        yield text
        if end == "raises":
            raise ValueError("cannot do " + text)
        if end == "dies":
            os._exit(3)
