"""``BaseModel``: a structured output, as a dataclass whose optional fields may be left out."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Dict

from ._input import UNSET, FieldInfo

_MUTABLE = (list, dict, set, bytearray)


def _prepare_default(cls: type, name: str) -> None:
    value = cls.__dict__.get(name, dataclasses.MISSING)
    if isinstance(value, FieldInfo):
        value = value.default
        if value is UNSET:
            delattr(cls, name)
            return
        setattr(cls, name, value)
    if isinstance(value, _MUTABLE):
        setattr(cls, name, dataclasses.field(default_factory=lambda: copy.deepcopy(value)))


def _may_be_none(annotation: Any) -> bool:
    if isinstance(annotation, str):
        compact = annotation.replace(" ", "")
        return "Optional[" in compact or "|None" in compact or "None|" in compact or compact in ("Any", "typing.Any")
    if annotation is Any:
        return True
    return type(None) in getattr(annotation, "__args__", ())


def _construct(self: Any, *args: Any, **kwargs: Any) -> None:
    fields = [f for f in dataclasses.fields(self) if f.init]
    name = type(self).__name__
    if len(args) > len(fields):
        raise TypeError("{} takes {} fields, {} were given".format(name, len(fields), len(args)))
    given: Dict[str, Any] = dict(zip((f.name for f in fields), args))
    for key, value in kwargs.items():
        if key in given:
            raise TypeError("{} got field {!r} twice".format(name, key))
        given[key] = value
    for field in fields:
        if field.name in given:
            value = given.pop(field.name)
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        elif _may_be_none(field.type):
            value = None
        else:
            raise TypeError("{} needs field {!r}".format(name, field.name))
        setattr(self, field.name, value)
    if given:
        raise TypeError("{} has no field {}".format(name, ", ".join(repr(key) for key in sorted(given))))
    after = getattr(self, "__post_init__", None)
    if after is not None:
        after()


class BaseModel:
    """Inherit from it and annotate fields; every subclass becomes a dataclass.

    ``auto_dataclass=False`` leaves the class as it is; ``init=False`` leaves ``__init__`` to the class.
    """

    def __init_subclass__(cls, *, auto_dataclass: bool = True, init: bool = True, **options: Any) -> None:
        super().__init_subclass__()
        if not auto_dataclass:
            return
        for name in list(cls.__dict__.get("__annotations__", None) or getattr(cls, "__annotations__", {})):
            _prepare_default(cls, name)
        dataclasses.dataclass(init=False, **options)(cls)
        if init and "__init__" not in cls.__dict__:
            cls.__init__ = _construct  # type: ignore[method-assign]
