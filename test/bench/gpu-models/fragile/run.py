from typing import List

import torch
from cog import BaseRunner, BatchInput, Input

#: Of the memory that is free after the set-up, for each input that is `large`.
SHARE = 1 / 20


class Runner(BaseRunner):
    def setup(self) -> None:
        self.is_cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if self.is_cuda else "cpu")
        self.weights = torch.ones(4, device=self.device)
        self.free = torch.cuda.mem_get_info()[0] if self.is_cuda else 0

    def run(self, large: bool = False, breaks: bool = Input(default=False)) -> str:
        return self.work([large], [breaks])[0]

    def run_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.work([item.large for item in inputs], [item.breaks for item in inputs])

    def work(self, large: List[bool], breaks: List[bool]) -> List[str]:
        if any(breaks):
            self.break_context()
        self.take(sum(large))
        name = torch.cuda.get_device_name(self.device) if self.is_cuda else "cpu"
        return [name] * len(large)

    def break_context(self) -> None:
        """An index that isn't there: the kernel's own assertion ends the process's use of the device for good."""
        if not self.is_cuda:
            raise RuntimeError("CUDA error: device-side assert triggered (told so, for there is no GPU)")
        self.weights[torch.tensor([9], device=self.device)].sum().item()

    def take(self, count: int) -> None:
        if count * SHARE > 1 and not self.is_cuda:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory: told so, for there is no GPU")
        if self.is_cuda:
            parts = [torch.empty(int(self.free * SHARE), dtype=torch.uint8, device=self.device) for _ in range(count)]
            del parts
