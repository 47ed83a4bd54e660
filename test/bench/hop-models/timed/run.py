"""Answers when it ran, in whole milliseconds since the epoch."""

import time

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self) -> int:
        return int(time.time() * 1000)
