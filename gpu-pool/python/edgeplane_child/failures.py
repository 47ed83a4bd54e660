"""Turns exceptions of a model into the one-line error and the traceback that leave the process."""

from __future__ import annotations

import errno
import os
import re
import traceback
from types import TracebackType
from typing import Optional

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LONGEST = 16 * 1024
_LONGEST_TRACE = 256 * 1024
_LONGEST_CHAIN = 20
_LONGEST_DEVICE_ERROR = 300


def error_message(error: BaseException) -> str:
    """The exception's message, with its type where the message alone says nothing."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        text = ""
    if isinstance(error, MemoryError):
        limit = os.environ.get("EDGEPLANE_MEMORY_LIMIT_BYTES")
        text = "MemoryError: out of memory" + (" (the limit of the process is {} bytes)".format(limit) if limit else "")
    elif not text:
        text = name
    elif isinstance(error, (SystemExit, KeyboardInterrupt, LookupError, NameError, ImportError, SyntaxError)):
        text = "{}: {}".format(name, text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " … (cut)"


_DEVICE_ERROR = re.compile(r"(?:[\w.]+: ?)?(?:CUDA (?:driver )?error|CUDA_ERROR_\w+|cudaError\w+|cu[A-Z]\w+ failed|NCCL error)")
_STICKY = re.compile(
    r"illegal memory access|ILLEGAL_ADDRESS|IllegalAddress|illegal instruction|ILLEGAL_INSTRUCTION|IllegalInstruction"
    r"|misaligned address|MISALIGNED_ADDRESS|MisalignedAddress|invalid program counter|INVALID_PC|InvalidPc"
    r"|device-side assert|CUDA_ERROR_ASSERT|cudaErrorAssert|launch failure|LAUNCH_FAILED|LaunchFailure"
    r"|launch timed out|LAUNCH_TIMEOUT|LaunchTimeout|hardware stack error|HARDWARE_STACK_ERROR|HardwareStackError"
    r"|uncorrectable ECC|ECC_UNCORRECTABLE|ECCUncorrectable|uncorrectable NVLink|NVLINK_UNCORRECTABLE"
    r"|operation not supported on global/shared|INVALID_ADDRESS_SPACE|InvalidAddressSpace|unknown error|GPU is lost"
)


def device_error(error: Optional[BaseException]) -> Optional[str]:
    """What CUDA said, when this process can use it no more; None when it can.

    Source: CUDA Runtime API, ``cudaError_t``: the errors of which it says that "the process must be terminated and
    relaunched". A message counts only as CUDA's libraries begin it, so that no input that a model repeats in its own
    errors looks like one.
    """
    if not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return None
    for _ in range(_LONGEST_CHAIN):
        if error is None:
            return None
        try:
            text = str(error)
        except Exception:
            text = ""
        if _DEVICE_ERROR.match(text) and _STICKY.search(text[:_LONGEST]):
            return text[:_LONGEST_DEVICE_ERROR]
        error = error.__cause__ or error.__context__
    return None


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def disk_full(error: Optional[BaseException]) -> bool:
    """True for what a model raises because a disk takes no more: the system's error, whatever it was wrapped in."""
    for _ in range(_LONGEST_CHAIN):
        if error is None:
            return False
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _without_ours(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    first = trace
    while trace is not None and os.path.abspath(trace.tb_frame.f_code.co_filename).startswith(_OURS):
        trace = trace.tb_next
    return trace or first


def _without_middle(text: str) -> str:
    half = _LONGEST_TRACE // 2
    return text if len(text) <= _LONGEST_TRACE else "{}\n … (cut) …\n{}".format(text[:half], text[-half:])


def traceback_text(error: BaseException) -> str:
    """The traceback from the model's first frame on."""
    try:
        lines = traceback.format_exception(type(error), error, _without_ours(error.__traceback__))
        return _without_middle("".join(lines))
    except Exception:
        return "{} (its traceback can't be shown)\n".format(type(error).__name__)
