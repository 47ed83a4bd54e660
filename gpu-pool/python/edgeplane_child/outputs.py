"""What a model returns, as JSON text: files become ``{"$file": …}``, models and dataclasses objects, dates and their
like text, NumPy's values plain ones.

It takes all that Cog's encoder takes: crates/coglet-python/src/output.rs of replicate/cog.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import io
import math
import os
from typing import Any, Callable, List, Optional

import cog

from .files import discard, give_handle, give_path
from .frames import make_encode
from .text_forms import form_of


_SERIES = (collections.abc.Set, collections.abc.Sequence, collections.abc.ValuesView)


class OutputError(ValueError):
    """An output that can't be sent; the message says which part."""


def _plain(value: Any, since_ns: int, made: List[str]) -> Any:
    if isinstance(value, type):
        raise OutputError("The output holds the class {}, not one of its values".format(value.__qualname__))
    if isinstance(value, os.PathLike):
        return give_path(value, since_ns, made)
    if isinstance(value, io.IOBase) or (hasattr(value, "read") and hasattr(value, "seekable")):
        return give_handle(value, made)
    if hasattr(value, "get_secret_value"):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    coder = cog.Coder.lookup(type(value))
    if coder is not None:
        return coder.encode(value)
    form = form_of(type(value))
    if form is not None:
        return form.give(value)
    # Cog's order: pydantic 2, then pydantic 1 and whatever else gives itself as a dict.
    for name in ("model_dump", "dict"):
        dump = getattr(value, name, None)
        if callable(dump):
            return dump()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, cog.BaseModel):
        return {name: inner for name, inner in vars(value).items() if not name.startswith("_")}
    if hasattr(value, "tolist"):
        # What NumPy holds in nanoseconds would become a number.
        return (value.astype(str) if getattr(getattr(value, "dtype", None), "kind", "") == "M" else value).tolist()
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise OutputError("The output holds bytes, which JSON can't carry: return a cog.Path to a file, or text")
    if isinstance(value, _SERIES) or hasattr(value, "__next__"):
        return list(value)
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {key: value[key] for key in value.keys()}
    name = "{}.{}".format(type(value).__module__, type(value).__qualname__)
    raise OutputError("The output holds a {}, which JSON can't carry: return plain values, cog.Path or a BaseModel".format(name))


def _find_not_a_number(value: Any, place: str) -> Optional[str]:
    if isinstance(value, float) and not math.isfinite(value):
        return place
    if isinstance(value, dict):
        inside = ((inner, "{}.{}".format(place, key)) for key, inner in value.items())
    elif isinstance(value, (list, tuple)):
        inside = ((inner, "{}[{}]".format(place, index)) for index, inner in enumerate(value))
    else:
        return None
    for inner, where in inside:
        found = _find_not_a_number(inner, where)
        if found is not None:
            return found
    return None


class _Since:
    """Converts with the time after which a file counts as this prediction's own work. ``made``: the files that it put
    into the scratch folder."""

    __slots__ = ("ns", "made")

    def __init__(self) -> None:
        self.ns = 0
        self.made: List[str] = []

    def __call__(self, value: Any) -> Any:
        return _plain(value, self.ns, self.made)


def make_encoder() -> Callable[[Any, int], str]:
    """A function (value, since_ns) → JSON text. Raises OutputError or FileProblem; then no file of it is left in the
    scratch folder."""
    since = _Since()
    encode = make_encode(default=since)

    def to_json(value: Any, since_ns: int) -> str:
        since.ns = since_ns
        since.made = []
        try:
            return encoded(value)
        except BaseException:
            for path in since.made:
                discard(path)
            raise

    def encoded(value: Any) -> str:
        try:
            return encode(value)
        except ValueError as error:
            if "JSON compliant" in str(error):
                place = _find_not_a_number(value, "output") or "output"
                raise OutputError("The output holds NaN or Infinity at {}, which JSON can't carry".format(place)) from None
            raise
        except TypeError as error:
            raise OutputError("The output can't be sent as JSON: {}".format(error)) from None
        except RecursionError:
            raise OutputError("The output is nested too deeply, or contains itself") from None

    return to_json
