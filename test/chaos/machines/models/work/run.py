import time

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, name: str, seconds: float) -> str:
        time.sleep(seconds)
        return name
