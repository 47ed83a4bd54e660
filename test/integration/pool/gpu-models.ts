/** Models of the pool's tests of GPUs, whose cards are numbers (fake-gpus.ts). */
import type { ModelFiles } from "./pool-process.ts";

/** Notes the memory that a process holds of a card. A rename puts it in place: nobody reads a file that is empty. */
const HOLDS = `
import os


def held(folder: str, pids: "list[str]") -> int:
    return sum(int(open(os.path.join(folder, pid)).read()) for pid in pids)


def hold(folder: str, mebibytes: int) -> None:
    coming = os.path.join(folder, ".{}".format(os.getpid()))
    with open(coming, "w") as own:
        own.write(str(mebibytes))
    os.replace(coming, os.path.join(folder, str(os.getpid())))
`;

/** Takes so many MiB of each of its cards when it is set up, and says on which it is. */
const allocating = (mebibytes: number): string => `${HOLDS}
from cog import BaseRunner


def lives(pid: str) -> bool:
    return os.path.exists("/proc/" + pid)


class Runner(BaseRunner):
    def setup(self) -> None:
        for card in os.environ["CUDA_VISIBLE_DEVICES"].split(","):
            self.take(os.path.join(os.environ["FAKE_CARDS"], card))

    def take(self, folder: str) -> None:
        all = [pid for pid in os.listdir(folder) if lives(pid)]
        if held(folder, all) + ${mebibytes} > int(open(folder + ".size").read()):
            raise RuntimeError("CUDA out of memory. Tried to allocate ${mebibytes} MiB")
        hold(folder, ${mebibytes})

    def run(self) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]
`;

const onGpu = (mebibytes: number, hint: number | null): ModelFiles =>
  model(
    allocating(mebibytes),
    `build:\n  gpu: true\n${hint === null ? "" : `edgeplane:\n  deviceMemoryBytes: ${hint * 1024 * 1024}\n`}`,
  );

/** Has a PyTorch of its own, that has reserved what it is told to. */
const GROWS = `
import sys
import types

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.reserved = 100
        cuda = types.SimpleNamespace(
            is_initialized=lambda: True, device_count=lambda: 1, max_memory_reserved=lambda device: self.reserved << 20
        )
        sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)

    def run(self, mebibytes: int) -> str:
        self.reserved = mebibytes
        return "grown"
`;

/**
 * Has a PyTorch of its own, and a card that it shares with others: a batch takes 100 MiB of it for each member, and
 * more than there is raises.
 */
const BATCHES_ON_CARD = `${HOLDS}
import sys
import types
from typing import List

from cog import BaseRunner, BatchInput

MIB = 1 << 20


class Runner(BaseRunner):
    def setup(self) -> None:
        self.folder = os.path.join(os.environ["FAKE_CARDS"], os.environ["CUDA_VISIBLE_DEVICES"])
        self.now = self.peak = 0
        self.take(100)
        cuda = types.SimpleNamespace(
            is_initialized=lambda: True,
            device_count=lambda: 1,
            max_memory_reserved=lambda device: 100 * MIB,
            memory_stats_as_nested_dict=lambda device: {"allocated_bytes": {"all": {"current": self.now * MIB, "peak": self.peak * MIB}}},
            reset_peak_memory_stats=self.forget_peak,
        )
        sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)

    def forget_peak(self, device: int) -> None:
        self.peak = self.now

    def take(self, mebibytes: int) -> None:
        others = [pid for pid in os.listdir(self.folder) if pid.isdigit() and pid != str(os.getpid())]
        if held(self.folder, others) + mebibytes > int(open(self.folder + ".size").read()):
            raise RuntimeError("CUDA out of memory. Tried to allocate {} MiB".format(mebibytes - self.now))
        self.now = mebibytes
        self.peak = max(self.peak, mebibytes)
        hold(self.folder, mebibytes)

    def run(self) -> int:
        return self.run_batch([None])[0]

    def run_batch(self, inputs: List[BatchInput]) -> List[int]:
        self.take(100 + 100 * len(inputs))
        self.take(100)
        return [len(inputs)] * len(inputs)
`;

/** After an error of its device every call of CUDA fails in the same way, as it is in truth. */
const CUDA = `
import os

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.broken = False

    def run(self, do: str) -> str:
        if do == "break" or self.broken or os.path.exists(os.path.join(os.environ["FAKE_CARDS"], "sick")):
            self.broken = True
            try:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            except RuntimeError as error:
                raise ValueError("the pipeline failed") from error
        if do == "lie":
            raise ValueError("unknown word: CUDA error: an illegal memory access was encountered")
        return str(os.getpid())
`;

function model(code: string, settings: string): ModelFiles {
  return { "run.py": code, "cog.yaml": `run: "run.py:Runner"\n${settings}` };
}

export const gpuModels = {
  "gpu-a": onGpu(600, 600),
  "gpu-b": onGpu(600, 600),
  "gpu-c": onGpu(600, 600),
  "gpu-x": onGpu(700, null),
  "gpu-y": onGpu(700, null),
  "gpu-huge": onGpu(5000, 5000),
  "gpu-small": onGpu(200, null),
  "gpu-wide": model(allocating(500), "build:\n  gpu: true\nedgeplane:\n  devicesPerInstance: 2\n"),
  "gpu-told": model(
    allocating(100),
    `build:\n  gpu: true\nedgeplane:\n  instances: {count: 1, devices: [1]}\n  deviceMemoryBytes: ${100 * 1024 * 1024}\n`,
  ),
  "gpu-pinned": model(
    allocating(700),
    `build:\n  gpu: true\nedgeplane:\n  pinned: true\n  deviceMemoryBytes: ${700 * 1024 * 1024}\n`,
  ),
  grows: model(GROWS, "build:\n  gpu: true\n"),
  "gpu-batches": model(
    BATCHES_ON_CARD,
    `build:\n  gpu: true\nedgeplane:\n  maxBatchSize: 8\n  maxQueueDelayMs: 100\n  deviceMemoryBytes: ${100 * 1024 * 1024}\n`,
  ),
  cuda: model(CUDA, "build:\n  gpu: true\n"),
};
