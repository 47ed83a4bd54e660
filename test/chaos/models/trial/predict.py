import os
import signal
import time
from typing import Any, List

from cog import BasePredictor, BatchInput, Input
from held import held

WORK_SECONDS = 0.01
WRITTEN_BYTES = 1 << 20


class Predictor(BasePredictor):
    """Squares a number, and does to its host what its input says. Each run is noted as `echo` does.

    `crash` kills the process the first time that the key runs; `memory` asks for more than there is; `write` needs some
    disk.
    """

    def predict(
        self,
        key: str = Input(),
        number: int = Input(),
        act: str = Input(default="nothing", choices=["nothing", "crash", "memory", "write"]),
        seconds: float = Input(default=WORK_SECONDS),
        tail: int = Input(default=0),
        padding: str = Input(default=""),
    ) -> Any:
        return self.work([(key, number, act, seconds, tail)])[0]

    def predict_batch(self, inputs: List[BatchInput]) -> List[Any]:
        return self.work([(item.key, item.number, item.act, item.seconds, item.tail) for item in inputs])

    def work(self, items: List[tuple]) -> List[str]:
        with held([item[0] for item in items]):
            for key, _, act, _, _ in items:
                if act == "crash" and self.is_first(key):
                    os.kill(os.getpid(), signal.SIGKILL)
                if act == "memory":
                    bytearray(1 << 40)
            if any(act == "write" for _, _, act, _, _ in items):
                self.write()
            time.sleep(max(seconds for _, _, _, seconds, _ in items))
        return ["{}:{}{}".format(key, number * number, "~" * tail) for key, number, _, _, tail in items]

    def is_first(self, key: str) -> bool:
        try:
            os.close(os.open("{}.{}".format(os.environ["CHAOS_RUNS_FILE"], key), os.O_CREAT | os.O_EXCL))
            return True
        except FileExistsError:
            return False

    def write(self) -> None:
        path = os.path.join(os.environ["EDGEPLANE_SCRATCH_DIR"], "written-{}".format(os.getpid()))
        try:
            with open(path, "wb") as file:
                file.write(b"x" * WRITTEN_BYTES)
        finally:
            os.unlink(path)
