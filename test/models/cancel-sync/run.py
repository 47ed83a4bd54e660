import time

from cog import BaseRunner, CancelationException
from cog.exceptions import CancelationException as same

assert same is CancelationException and not issubclass(same, Exception)


class Runner(BaseRunner):
    def setup(self) -> None:
        self.cleaned = 0

    def run(self, how: str = "return") -> int:
        try:
            print("running")
            if how == "sleep":
                time.sleep(30)
            turns = 0
            while how == "spin":
                for _ in range(1000):
                    turns += 1
            if how == "except":
                try:
                    time.sleep(30)
                except Exception:
                    pass
        except CancelationException:
            self.cleaned += 1
            print("cleaning up")
            raise
        return self.cleaned
