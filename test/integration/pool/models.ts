/** Models written for the pool's tests. They do what their input's `do` says. */
import { batchingModels } from "./batching-models.ts";
import { gpuModels } from "./gpu-models.ts";
import type { ModelFiles } from "./pool-process.ts";

const CODE = `
import os
import signal
import time
from typing import Any, List

from cog import BaseRunner, BatchInput, Input


def act(what: str) -> str:
    if what == "raise":
        raise ValueError("told to raise")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what.startswith("sleep "):
        print("begun")
        time.sleep(float(what[6:]))
    if what.startswith("until "):
        print("begun")
        while not os.path.exists(what[6:]):
            time.sleep(0.02)
    if what.startswith("chatter "):
        for _ in range(int(what[8:])):
            print("still here")
            time.sleep(0.1)
    if what.startswith("hold "):
        until = time.monotonic() + float(what[5:])
        try:
            # Within: a cancel may come as soon as it is told, and wherever the loop is.
            print("begun")
            while time.monotonic() < until:
                time.sleep(0.05)
        except BaseException:
            time.sleep(max(0, until - time.monotonic()))
    if what.startswith("talk "):
        until = time.monotonic() + float(what[5:])
        while time.monotonic() < until:
            print("still here")
            time.sleep(0.05)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if what.startswith("large "):
        return "x" * int(what[6:])
    if what.startswith("fill "):
        full = b"x" * (int(what[5:]) * 1024 * 1024)
        time.sleep(30)
        return str(len(full))
    if what.startswith("environ "):
        return str(os.environ.get(what[8:]))
    if what == "print":
        print("printed here")
    if what == "mark":
        with open(os.environ["MARKS"], "a") as marks:
            marks.write("run\\n")
    return what
`;

const SINGLE = `${CODE}

class Runner(BaseRunner):
    def run(self, do: str = Input(default="")) -> str:
        return act(do)
`;

const BATCH = `${CODE}

class Runner(BaseRunner):
    def run(self, do: str = Input(default="")) -> str:
        return act(do)

    def run_batch(self, inputs: List[BatchInput]) -> List[str]:
        return [act(item.do) for item in inputs]
`;

const STREAM = `
from cog import BaseRunner, ConcatenateIterator, Input


class Runner(BaseRunner):
    def run(self, count: int = Input(default=3)) -> ConcatenateIterator[str]:
        for number in range(count):
            yield f"{number} "
`;

const FLOOD = `
import os
import time

from cog import BaseRunner, ConcatenateIterator, Input


class Runner(BaseRunner):
    def run(self, begin: str, done: str) -> ConcatenateIterator[str]:
        yield "first"
        while not os.path.exists(begin):
            time.sleep(0.01)
        for number in range(80):
            print("chunk", number)
            yield str(number).rjust(256 * 1024)
        open(done, "w").close()
`;

const FILES = `
from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, file: Path = Input(description="any file")) -> Path:
        out = Path("/tmp") / f"edgeplane-pool-test-{id(self)}.txt"
        out.write_text(open(file).read().upper())
        return out
`;

const MANY_FILES = `
from typing import List

from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, files: List[Path] = Input(default=[]), count: int = 0) -> List[Path]:
        made = []
        for number in range(count):
            out = Path("/tmp") / f"edgeplane-pool-test-{id(self)}-{number}.txt"
            out.write_text(str(number))
            made.append(out)
        return made
`;

const FILM = `
import os
import tempfile

from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, kib: int = Input(default=100)) -> Path:
        folder = tempfile.mkdtemp()
        path = Path(folder) / "film.bin"
        path.write_bytes(os.urandom(1024) * kib)
        return path
`;

const ECHO = `
from typing import Any

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, value: Any) -> Any:
        return value
`;

const BROKEN = `
from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        raise RuntimeError("no weights here")

    def run(self) -> str:
        return ""
`;

const DIES_IN_SETUP = `
import os

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        print("about to die", flush=True)
        os._exit(3)

    def run(self) -> str:
        return ""
`;

const MOODY = `
import os
import signal
import time

from cog import BaseRunner

STATE = os.path.join(os.environ["EDGEPLANE_SCRATCH_DIR"], "..", "..")


class Runner(BaseRunner):
    def setup(self) -> None:
        if os.path.exists(os.path.join(STATE, "sick")):
            raise RuntimeError("the card fell off the bus")

    def run(self, do: str) -> str:
        time.sleep(0.1)
        if os.path.exists(os.path.join(STATE, "sick")):
            os.kill(os.getpid(), signal.SIGKILL)
        return do
`;

const SICK = `
import os

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.said = "fine"
        self.checks = 0

    def healthcheck(self) -> bool:
        self.checks += 1
        if self.said == "raise":
            raise RuntimeError("the card fell off the bus")
        return True

    def run(self, do: str) -> str:
        self.said = do
        return str(self.checks if do == "checks" else os.getpid())
`;

const WAKES_SLOWLY = `
import time

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        time.sleep(1.5)
        self.awake = True

    def healthcheck(self) -> bool:
        return self.awake

    def run(self) -> str:
        return "awake"
`;

const HELPED = `
import subprocess

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.helper = subprocess.Popen(["sleep", "60"])

    def run(self) -> int:
        return self.helper.pid
`;

const LINGERS = `
import atexit
import os
import time

from cog import BaseRunner


def linger():
    print("leaving", flush=True)
    time.sleep(1)


class Runner(BaseRunner):
    def setup(self) -> None:
        atexit.register(linger)

    def run(self) -> str:
        return str(os.getpid())
`;

/** Runs several side by side; says of each how many there were with it. */
const SIDE_BY_SIDE = `
import asyncio
import os

from cog import BaseRunner

together = 0


class Runner(BaseRunner):
    async def run(self, do: str) -> int:
        global together
        together += 1
        most = together
        print("begun")
        while do.startswith("until ") and not os.path.exists(do[6:]):
            await asyncio.sleep(0.02)
        for _ in range(60):
            await asyncio.sleep(0.02)
            most = max(most, together)
        together -= 1
        return most
`;

function model(code: string, settings = ""): ModelFiles {
  return { "run.py": code, "cog.yaml": `run: "run.py:Runner"\n${settings}` };
}

export const models = {
  ...gpuModels,
  ...batchingModels,
  single: model(SINGLE),
  batch: model(BATCH, "edgeplane:\n  maxBatchSize: 8\n  maxQueueDelayMs: 150\n"),
  stream: model(STREAM),
  flood: model(FLOOD),
  files: model(FILES),
  many: model(MANY_FILES),
  film: model(FILM),
  echo: model(ECHO),
  broken: model(BROKEN),
  dies: model(DIES_IN_SETUP),
  moody: model(MOODY),
  packed: model(SINGLE, "build:\n  python_packages: [something==1.0]\n"),
  sick: model(SICK),
  wakes: model(WAKES_SLOWLY),
  asleep: model(WAKES_SLOWLY.replace("time.sleep(1.5)", "time.sleep(600)")),
  helped: model(HELPED),
  lingers: model(LINGERS),
  serial: model(SINGLE, "edgeplane:\n  maxBatchSize: 8\n  maxQueueDelayMs: 150\n"),
  gpu: model(SINGLE, "build:\n  gpu: true\n"),
  "gpu-cuda-12": model(SINGLE, 'build:\n  gpu: true\n  cuda: "12.8"\n'),
  "gpu-cuda-13": model(SINGLE, 'build:\n  gpu: true\n  cuda: "13.0"\n'),
  either: model(SINGLE, "build:\n  gpu: true\nedgeplane:\n  cpuFallback: true\n"),
  tired: model(SINGLE, "edgeplane:\n  recycleAfterFailures: 2\n"),
  stuck: model(SINGLE, "edgeplane:\n  progressTimeoutMs: 1000\n"),
  "side-by-side": model(SIDE_BY_SIDE, "concurrency:\n  max: 8\n"),
  "sync-slots": model(SINGLE, "concurrency:\n  max: 3\nedgeplane:\n  predictTimeoutMs: 2000\n"),
  slow: model(SINGLE, "edgeplane:\n  predictTimeoutMs: 700\n"),
  halves: model(BATCH, "edgeplane:\n  maxBatchSize: 8\n  maxQueueDelayMs: 150\n  predictTimeoutMs: 1500\n"),
};
