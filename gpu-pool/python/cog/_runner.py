"""``BaseRunner`` and the decorators of run methods."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, TypeVar, Union

from ._scope import current_scope
from ._types import Path

F = TypeVar("F", bound=Callable[..., Any])


class BaseRunner:
    """The base of a model's runner: ``setup()`` once, ``run()`` for each prediction."""

    def setup(self, weights: Optional[Union[Path, str]] = None) -> Any:
        """Load what the predictions need. Optional."""

    @property
    def scope(self) -> Any:
        """The scope of the running prediction."""
        return current_scope()

    def record_metric(self, key: str, value: Any, mode: str = "replace") -> None:
        """Record a metric of the running prediction; nothing happens outside one."""
        current_scope().record_metric(key, value, mode=mode)


class BasePredictor(BaseRunner):
    """The older name of ``BaseRunner``."""


def streaming(fn: Optional[F] = None) -> Any:
    """Mark a run method whose chunks clients may read as they come. ``@streaming`` and ``@streaming()`` both work."""

    def decorate(inner: F) -> F:
        inner.__cog_streaming__ = True  # type: ignore[attr-defined]
        return inner

    return decorate if fn is None else decorate(fn)


def concurrent(fn: Optional[F] = None, *, max: int = 1) -> Any:  # noqa: A002 - Cog's name
    """Let an asynchronous run method run up to ``max`` predictions at once."""
    if isinstance(max, bool) or not isinstance(max, int):
        raise TypeError("concurrent: max must be an integer")
    if max < 1:
        raise ValueError("concurrent: max must be at least 1")

    def decorate(inner: F) -> F:
        if max > 1 and not (inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)):
            raise TypeError("concurrent: max above 1 needs an async function")
        inner.__cog_concurrent_max__ = max  # type: ignore[attr-defined]
        return inner

    return decorate if fn is None else decorate(fn)
