import time

from cog import BaseRunner
from held import held


class Runner(BaseRunner):
    def run(self, name: str, seconds: float) -> str:
        with held([name]):
            time.sleep(seconds)
        return name
