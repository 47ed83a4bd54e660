"""Ends what the model started, when the pool is gone that would have: this process leads a group, and what it started
is in it."""

from __future__ import annotations

import os
import signal
from typing import List


def _others() -> List[int]:
    own = os.getpid()
    if os.getpgrp() != own or not os.path.isdir("/proc"):
        return []
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != own and os.getpgid(int(name)) == own:
                found.append(int(name))
        except OSError:
            pass
    return found


def end_group() -> None:
    """Kill all others of the group; none where this process leads no group."""
    for pid in _others():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
