import time

from cog import BaseRunner, Input


class Runner(BaseRunner):
    """Works for as long as it is told."""

    def run(self, seconds: float = Input(description="How long it works", default=1.0, ge=0, le=60)) -> str:
        until = time.monotonic() + seconds
        rounds = 0
        while time.monotonic() < until:
            rounds += 1
            time.sleep(0.01)
        return f"worked for {seconds} s, in {rounds} rounds"
