"""The run interface of Cog models, as replicate/cog documents it (docs/python.md), for models that run in Edgeplane.

It is put on the path of the model process; a model imports it as it imports Cog's own.
"""

from __future__ import annotations

import sys as _sys
from typing import Any

from ._batch import BatchInput
from ._input import FieldInfo, Input
from ._model import BaseModel
from ._runner import BasePredictor, BaseRunner, concurrent, streaming
from ._scope import current_scope
from ._types import (
    AsyncConcatenateIterator,
    ConcatenateIterator,
    File,
    Opaque,
    Path,
    Secret,
    URLFile,
    URLPath,
)
from .coder import Coder
from .exceptions import CancelationException

__version__ = "0.21.0"

__all__ = [
    "AsyncConcatenateIterator",
    "BaseModel",
    "BasePredictor",
    "BaseRunner",
    "BatchInput",
    "CancelationException",
    "Coder",
    "ConcatenateIterator",
    "ExperimentalFeatureWarning",
    "FieldInfo",
    "File",
    "Input",
    "Opaque",
    "Path",
    "Secret",
    "URLFile",
    "URLPath",
    "concurrent",
    "current_scope",
    "emit_metric",
    "streaming",
]


class _ExperimentalFeatureWarning(FutureWarning):
    """No longer raised; models still import it to silence it."""


def _emit_metric(name: str, value: Any) -> None:
    """The older name of ``current_scope().record_metric(name, value)``."""
    current_scope().record_metric(name, value)


_DEPRECATED = {
    "ExperimentalFeatureWarning": (_ExperimentalFeatureWarning, "it is never raised: drop the import"),
    "emit_metric": (_emit_metric, "use current_scope().record_metric(name, value)"),
}


def __getattr__(name: str) -> Any:
    if name not in _DEPRECATED:
        raise AttributeError("module 'cog' has no attribute {!r}".format(name))
    value, remedy = _DEPRECATED[name]
    print("cog: {} is deprecated; {}".format(name, remedy), file=_sys.stderr)
    globals()[name] = value
    return value
