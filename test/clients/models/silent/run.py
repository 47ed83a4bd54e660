"""An iterator that yields nothing, and succeeds."""

from typing import Iterator

from cog import BaseRunner, streaming


class Runner(BaseRunner):
    @streaming
    def run(self) -> Iterator[str]:
        print("nothing to say")
        yield from ()
