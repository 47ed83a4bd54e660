"""How much of its devices' memory this process has taken, as far as its libraries tell."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional


def reserved_bytes() -> Optional[int]:
    """The most that PyTorch has had reserved on one device, in bytes; None where it doesn't use any.

    It is asked only where the model has loaded it. It may be in the middle of its import, and is a stranger's code: whatever it raises
    says that nobody knows.
    """
    if not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return None
    try:
        cuda: Any = sys.modules["torch"].cuda
        if not cuda.is_initialized():
            return None
        return max(int(cuda.max_memory_reserved(device)) for device in range(cuda.device_count()))
    except Exception:
        return None
