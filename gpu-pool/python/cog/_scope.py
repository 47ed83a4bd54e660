"""The scope of a running prediction: its context and its metrics. Outside a prediction everything here does nothing."""

from __future__ import annotations

import contextvars
import json
import re
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional

_SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_MODES = ("replace", "incr", "append")


def check_metric_name(name: object) -> List[str]:
    """The segments of a metric's name, or ValueError. The rules are Cog's."""
    if not isinstance(name, str) or not name:
        raise ValueError("a metric's name must be a text that is not empty")
    said = "metric name {!r} ".format(name[:140])
    if len(name) > 128:
        raise ValueError(said + "must have at most 128 characters")
    if name == "predict_time" or name == "cog" or name.startswith("cog."):
        raise ValueError(said + "is reserved: predict_time and cog.* belong to the runtime")
    if name.startswith("."):
        raise ValueError(said + "must not start with a dot")
    if name.endswith("."):
        raise ValueError(said + "must not end with a dot")
    segments = name.split(".")
    if len(segments) > 4:
        raise ValueError(said + "must have at most 4 dot-separated segments")
    for segment in segments:
        if not segment:
            raise ValueError(said + "must not have empty segments")
        if "__" in segment:
            raise ValueError(said + "must not contain consecutive underscores")
        if not segment[0].isalpha() or not segment[0].isascii():
            raise ValueError(said + "must start with a letter in each segment")
        if segment.endswith("_"):
            raise ValueError(said + "must end with a letter or digit in each segment")
        if not _SEGMENT.match(segment):
            raise ValueError(said + "may contain only letters, digits and underscores")
    return segments


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "object"


def _plain(name: str, value: Any) -> Any:
    """A copy of the value as JSON has it. NumPy's scalars and arrays become plain numbers and lists."""
    if hasattr(value, "tolist") and not isinstance(value, (str, int, float)):
        value = value.tolist()
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError("metric {!r} must be a JSON value: {}".format(name, error)) from None


class Metrics:
    """The metrics of one prediction; dots in names make nested objects."""

    def __init__(self, changed: Optional[Callable[[], None]] = None) -> None:
        self._values: Dict[str, Any] = {}
        self._changed = changed
        self._lock = threading.Lock()

    def record(self, name: str, value: Any, mode: str = "replace") -> None:
        """Set (``replace``), add to (``incr``) or append to a metric. ``None`` removes it."""
        if mode not in _MODES:
            raise ValueError("metric mode {!r} is unknown: use replace, incr or append".format(mode))
        segments = check_metric_name(name)
        if value is None:
            self._remove(name)
        else:
            with self._lock:
                self._store(segments, name, _plain(name, value), mode)
        if self._changed is not None:
            self._changed()

    def _store(self, segments: List[str], name: str, value: Any, mode: str) -> None:
        place = self._values
        for segment in segments[:-1]:
            inner = place.setdefault(segment, {})
            if not isinstance(inner, dict):
                raise TypeError("metric {!r}: {!r} holds a value already, it can't hold others".format(name, segment))
            place = inner
        key = segments[-1]
        old = place.get(key)
        if mode == "append":
            if old is None:
                place[key] = [value]
            elif isinstance(old, list):
                old.append(value)
            else:
                place[key] = [old, value]
            return
        if old is not None and _kind(old) != _kind(value):
            raise TypeError(
                "metric {!r} is a {}, it can't become a {} unless it is deleted first".format(name, _kind(old), _kind(value))
            )
        if mode == "incr":
            if _kind(value) != "number":
                raise TypeError("metric {!r}: incr needs a number".format(name))
            place[key] = _plain(name, (old or 0) + value)
        else:
            place[key] = value

    def _remove(self, name: str) -> bool:
        segments = check_metric_name(name)
        with self._lock:
            place: Any = self._values
            for segment in segments[:-1]:
                place = place.get(segment) if isinstance(place, dict) else None
            if not isinstance(place, dict) or segments[-1] not in place:
                return False
            del place[segments[-1]]
            return True

    def __setitem__(self, name: str, value: Any) -> None:
        self.record(name, value)

    def __getitem__(self, name: str) -> Any:
        place: Any = self._values
        for segment in name.split("."):
            if not isinstance(place, dict) or segment not in place:
                raise KeyError(name)
            place = place[segment]
        return place

    def __delitem__(self, name: str) -> None:
        if not self._remove(name):
            raise KeyError(name)
        if self._changed is not None:
            self._changed()

    def get(self, name: str, default: Any = None) -> Any:
        """The metric's value, or ``default``."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def to_json(self) -> str:
        """All metrics as a JSON object."""
        with self._lock:
            return json.dumps(self._values, separators=(",", ":"), ensure_ascii=False)


class Scope:
    """What ``current_scope()`` gives inside a prediction."""

    __slots__ = ("context", "metrics")

    def __init__(self, context: Dict[str, Any], changed: Optional[Callable[[], None]] = None) -> None:
        self.context = context
        self.metrics = Metrics(changed)

    def record_metric(self, name: str, value: Any, mode: str = "replace") -> None:
        """Record a metric of this prediction; see ``Metrics.record``."""
        self.metrics.record(name, value, mode)


class _NoMetrics(Metrics):
    def record(self, name: str, value: Any, mode: str = "replace") -> None:
        return None

    def __delitem__(self, name: str) -> None:
        return None


class _NoScope(Scope):
    __slots__ = ()

    def __init__(self) -> None:
        self.context = {}
        self.metrics = _NoMetrics()


class BatchScope:
    """The scope of a call of ``predict_batch``: ``scopes`` has one scope for each input, in order."""

    __slots__ = ("context", "metrics", "scopes")

    def __init__(self, scopes: List[Scope]) -> None:
        self.scopes = scopes
        first = scopes[0].context if scopes else {}
        self.context = {k: v for k, v in first.items() if all(s.context.get(k) == v for s in scopes)}
        self.metrics = _BatchMetrics(scopes)

    def record_metric(self, name: str, value: Any, mode: str = "replace") -> None:
        """Record a metric of every prediction of the batch."""
        self.metrics.record(name, value, mode)


class _BatchMetrics(Metrics):
    def __init__(self, scopes: List[Scope]) -> None:
        super().__init__()
        self._scopes = scopes

    def record(self, name: str, value: Any, mode: str = "replace") -> None:
        for scope in self._scopes:
            scope.metrics.record(name, value, mode)

    def __getitem__(self, name: str) -> Any:
        if not self._scopes:
            raise KeyError(name)
        return self._scopes[0].metrics[name]

    def __delitem__(self, name: str) -> None:
        for scope in self._scopes:
            del scope.metrics[name]


task_scope: "contextvars.ContextVar[Optional[Any]]" = contextvars.ContextVar("cog_scope", default=None)
only_scope: List[Any] = [None]
_NO_SCOPE = _NoScope()


def current_scope() -> Any:
    """The scope of the prediction that runs here; one that ignores everything where none runs."""
    return task_scope.get() or only_scope[0] or _NO_SCOPE
