"""How much memory this process takes: of its devices, as far as its libraries tell, and of the host."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

#: A measurement is followed by so many times its length without one, and never by more than that: one that took long
#: was interrupted.
_REST = 100
_LONGEST_REST_S = 0.05


def _cuda() -> Any:
    """PyTorch's ``torch.cuda``, where the model has loaded it and uses it; None elsewhere."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES") or "torch" not in sys.modules:
        return None
    cuda = sys.modules["torch"].cuda
    return cuda if cuda.is_initialized() else None


def reserved_bytes() -> Optional[int]:
    """The most that PyTorch has had reserved on one device, in bytes; None where it doesn't use any.

    It is asked only where the model has loaded it. It may be in the middle of its import, and is a stranger's code:
    whatever it raises says that nobody knows.
    """
    try:
        cuda = _cuda()
        return None if cuda is None else max(int(cuda.max_memory_reserved(device)) for device in range(cuda.device_count()))
    except Exception:
        return None


def _device_use() -> Optional[List[Tuple[int, int]]]:
    """For each device what PyTorch has allocated, and the most since it was asked last; None where it uses none."""
    try:
        cuda = _cuda()
        if cuda is None:
            return None
        used = []
        for device in range(cuda.device_count()):
            # The whole of its statistics at once takes a tenth of the time of asking for two of them.
            allocated = cuda.memory_stats_as_nested_dict(device)["allocated_bytes"]["all"]
            used.append((int(allocated["current"]), int(allocated["peak"])))
            cuda.reset_peak_memory_stats(device)
        return used
    except Exception:
        return None


def _host_use() -> Optional[Tuple[int, int]]:
    """What this process has of the host's memory, without pages of files, and the most since it was asked last.

    Source: proc_pid_status(5), proc_pid_clear_refs(5): writing 5 sets the peak back to what is there now. None where
    the system has no such files, which is outside Linux.
    """
    sizes = {}
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith((b"VmHWM:", b"VmRSS:", b"RssAnon:", b"RssShmem:")):
                    name, size = line.split()[:2]
                    sizes[name] = int(size) * 1024
        with open("/proc/self/clear_refs", "wb") as refs:
            refs.write(b"5")
        own = sizes[b"RssAnon:"] + sizes[b"RssShmem:"]
        return own, own + sizes[b"VmHWM:"] - sizes[b"VmRSS:"]
    except (OSError, KeyError, ValueError):
        return None


class RunMemory:
    """What runs take of memory at their most: of a device where PyTorch uses one, else of the host. Runs come one after
    another.

    Asking takes up to a hundredth of the time: of runs that are shorter than a hundred questions not each is measured.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._due = 0.0
        #: A run went by since the last question: what is the peak from now on is not the next run's alone.
        self._missed = False
        self._devices = _device_use()
        self._host = _host_use()

    def over(self) -> Optional[Dict[str, Any]]:
        """A run is over, and the next may begin: ``memory`` of PROTOCOL.md; None where nobody knows."""
        began = self._now()
        if began < self._due:
            self._missed = True
            return None
        missed, self._missed = self._missed, False
        memory = self._read()
        if missed:
            return None
        ended = self._now()
        self._due = ended + min(_REST * (ended - began), _LONGEST_REST_S)
        return memory

    def _read(self) -> Optional[Dict[str, Any]]:
        before, self._devices = self._devices, _device_use()
        if self._devices:
            base = before or [(0, 0)] * len(self._devices)
            peak, at = max((peak, at) for at, (_now, peak) in enumerate(self._devices))
            return _memory("device", base[at][0], peak)
        began, self._host = self._host, _host_use()
        if began is None or self._host is None:
            return None
        return _memory("host", began[0], self._host[1])


def _memory(of: str, base: int, peak: int) -> Dict[str, Any]:
    return {"of": of, "baseBytes": base, "peakBytes": max(base, peak)}
