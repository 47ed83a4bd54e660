import threading
import time

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.beats = 0
        threading.Thread(target=self.beat).start()

    def beat(self) -> None:
        while True:
            self.beats += 1
            time.sleep(0.005)

    def run(self) -> bool:
        time.sleep(0.05)
        return self.beats > 1
