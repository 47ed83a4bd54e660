import time
from typing import List

import torch
from cog import BaseRunner, BatchInput, Input


class Runner(BaseRunner):
    def setup(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.weights = torch.ones((1024, 1024), device=self.device)

    def run(self, exhaust: bool = False, seconds: float = Input(default=0.0)) -> float:
        return self.work(exhaust, seconds)

    def run_batch(self, inputs: List[BatchInput]) -> List[float]:
        return [self.work(item.exhaust, item.seconds) for item in inputs]

    def work(self, exhaust: bool, seconds: float) -> float:
        time.sleep(seconds)
        if exhaust and self.device.type == "cpu":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory: told so, for there is no GPU")
        if exhaust:
            total = torch.cuda.get_device_properties(self.device).total_memory
            torch.empty(2 * total, dtype=torch.uint8, device=self.device)
        return float(self.weights.sum().item())
