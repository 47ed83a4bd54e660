"""Moves the pool's descriptors out of the model's reach: to high numbers, closed in everything that the model
starts."""

from __future__ import annotations

import fcntl
import os
import resource
from typing import List, NamedTuple


class Descriptors(NamedTuple):
    """The control channel, the slots, and the pool's own ends of standard output and error."""

    control: int
    slots: List[int]
    out: int
    err: int


def _lowest_high_number() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY or soft > 8192:
        return 4000
    return max(64, soft - 200)


def take_descriptors(slot_count: int) -> Descriptors:
    """Move 3, 4, … and copies of 1 and 2 to high numbers with close-on-exec; 3, 4, … are closed after it."""
    lowest = _lowest_high_number()

    def move(fd: int) -> int:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
        if fd > 2:
            os.close(fd)
        return high

    control = move(3)
    slots = [move(4 + index) for index in range(slot_count)]
    return Descriptors(control, slots, move(1), move(2))


def close_after_fork(fds: List[int]) -> None:
    """Close these in every process that the model forks, so that the pool sees the end of this one."""

    def close() -> None:
        for fd in fds:
            try:
                os.close(fd)
            except OSError:
                pass

    os.register_at_fork(after_in_child=close)
