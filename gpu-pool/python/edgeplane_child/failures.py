"""Turns exceptions of a model into the one-line error and the traceback that leave the process."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Optional

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LONGEST = 16 * 1024
_LONGEST_TRACE = 256 * 1024


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
