import subprocess

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.others = []

    def run(self, how: str) -> str:
        if how == "start":
            self.others = [subprocess.Popen(["head", "-c", "1000000000000", "/dev/zero"]) for _ in range(4)]
        if how == "stop":
            for other in self.others:
                other.kill()
        return how
