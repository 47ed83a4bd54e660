import time

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        print("still setting up")
        time.sleep(3600)

    def run(self) -> str:
        return "never"
