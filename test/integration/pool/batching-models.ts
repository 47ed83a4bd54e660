/** Models of the pool's tests of batches. */
import type { ModelFiles } from "./pool-process.ts";

/** Each answers who ran with it. */
const TOGETHER = `
import os
import time
from typing import List

from cog import BaseRunner, BatchInput


class Runner(BaseRunner):
    def run(self, text: str) -> List[str]:
        return [text]

    def run_batch(self, inputs: List[BatchInput]) -> List[List[str]]:
        texts = [item.text for item in inputs]
        if texts[0].startswith("until "):
            print("begun")
            while not os.path.exists(texts[0][6:]):
                time.sleep(0.02)
        if len(texts) > 3 and "memory" in texts[0]:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return [texts] * len(texts)
`;

const SLEEPS = `
import time

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"
`;

/** Notes in its input's folder what it does, and runs until a file is there. */
const NOTES = `
import os
import time
from typing import Any, List

from cog import BaseRunner, BatchInput


class Runner(BaseRunner):
    def note(self, what: str, item: BatchInput) -> None:
        with open(os.path.join(item.folder, "notes"), "a") as notes:
            notes.write(what + " " + item.name + "\\n")

    def run(self, name: str, folder: str, until: str = "") -> str:
        return name

    def prepare_batch(self, inputs: List[BatchInput]) -> Any:
        for item in inputs:
            self.note("prepared", item)
        return {"prepared": inputs}

    def run_batch(self, prepared: Any) -> List[str]:
        inputs = prepared["prepared"]
        for item in inputs:
            self.note("began", item)
            while item.until and not os.path.exists(os.path.join(item.folder, item.until)):
                time.sleep(0.02)
        return [item.name for item in inputs]
`;

/** Each member of a batch takes 40 MiB of the host. */
const HUNGRY = `
from typing import List

from cog import BaseRunner, BatchInput


class Runner(BaseRunner):
    def run(self) -> int:
        return 1

    def run_batch(self, inputs: List[BatchInput]) -> List[int]:
        taken = [bytearray(b"x") * (40 << 20) for _input in inputs]
        return [len(taken)] * len(inputs)
`;

/** Notes what each of its three stages does, and stays in one until a file is there that is named for it. */
const STAGES = `
import os
import time
from typing import Any, List

import cog
from cog import BaseRunner, BatchInput


class Runner(BaseRunner):
    def stage(self, name: str, items: List[BatchInput]) -> None:
        for item in items:
            with open(os.path.join(item.folder, "notes"), "a") as notes:
                notes.write(name + " " + item.name + "\\n")
            cog.current_scope().record_metric(name, item.name)
            while item.holds == name and not os.path.exists(os.path.join(item.folder, item.name)):
                time.sleep(0.02)
            if item.does == name:
                raise ValueError(name + " raised")
            if item.dies == name:
                os._exit(7)

    def run(self, name: str, folder: str, holds: str = "", does: str = "", dies: str = "") -> str:
        return name

    def prepare_batch(self, inputs: List[BatchInput]) -> Any:
        self.stage("prepared", inputs)
        return {"inputs": inputs}

    def run_batch(self, prepared: Any) -> Any:
        self.stage("ran", prepared["inputs"])
        return {"outputs": prepared["inputs"]}

    def postprocess_batch(self, result: Any) -> List[str]:
        self.stage("finished", result["outputs"])
        return [item.name.upper() for item in result["outputs"]]
`;

const batches = "  maxBatchSize: 8\n  maxQueueDelayMs: 150\n";

function model(code: string, keys: string): ModelFiles {
  return { "run.py": code, "cog.yaml": `run: "run.py:Runner"\nedgeplane:\n${keys}` };
}

export const batchingModels = {
  costly: model(TOGETHER, `${batches}  cost: len(text)\n  maxBatchCost: 60\n  costBuckets: [8]\n`),
  together: model(TOGETHER, batches),
  pipelined: model(NOTES, "  batchesInFlight: 2\n"),
  pair: model(TOGETHER, "  maxBatchSize: 2\n  batchesInFlight: 2\n"),
  stages: model(STAGES, "  batchesInFlight: 2\n"),
  "one-stage": model(STAGES, ""),
  plain: model(NOTES, ""),
  hungry: model(HUNGRY, `${batches}  memoryBytes: ${160 * 1024 * 1024}\n`),
  late: model(SLEEPS, "  dropLate: true\n"),
};
