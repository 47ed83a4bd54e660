"""Reads a type annotation into a ``TypeSpec``."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import io
import os
import pathlib
import sys
import typing
from typing import Any, Dict, List, Tuple

import cog

from .resolve import resolve
from .text_forms import form_of
from .typespec import ANY, AnnotationError, TypeSpec

_PRIMITIVES = {str: "str", int: "int", float: "float", bool: "bool"}
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_ITERATORS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.Iterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)
_CONCATENATE = (cog.ConcatenateIterator, cog.AsyncConcatenateIterator)


def read_annotation(annotation: Any, namespace: Dict[str, Any], where: str) -> TypeSpec:
    """The meaning of an annotation; ``where`` names it in errors. Raises AnnotationError."""
    try:
        annotation = resolve(annotation, namespace)
    except Exception as error:
        raise AnnotationError("{}: the annotation {!r} can't be evaluated: {}".format(where, annotation, error)) from error
    return _read(annotation, namespace, where, ())


def _origin(annotation: Any) -> Tuple[Any, Tuple[Any, ...]]:
    return typing.get_origin(annotation), typing.get_args(annotation)


def _read(annotation: Any, namespace: Dict[str, Any], where: str, seen: Tuple[Any, ...]) -> TypeSpec:
    if isinstance(annotation, (str, typing.ForwardRef)):
        return read_annotation(annotation, namespace, where)
    if annotation is None or annotation is type(None):
        return TypeSpec("none", nullable=True)
    if annotation in (Any, object) or annotation is inspect.Parameter.empty or isinstance(annotation, typing.TypeVar):
        return ANY
    if hasattr(annotation, "__metadata__"):
        return _read_annotated(annotation, namespace, where, seen)
    if hasattr(annotation, "__supertype__"):
        return _read(annotation.__supertype__, namespace, where, seen)
    origin, args = _origin(annotation)
    if origin is None and annotation in _CONCATENATE + _ITERATORS:
        origin, args = annotation, ()
    if origin is not None:
        return _read_generic(annotation, origin, args, namespace, where, seen)
    if isinstance(annotation, type):
        return _read_class(annotation, namespace, where, seen)
    raise AnnotationError("{}: {!r} is not a type that a model can take or give".format(where, annotation))


def _read_annotated(annotation: Any, namespace: Dict[str, Any], where: str, seen: Tuple[Any, ...]) -> TypeSpec:
    inner = annotation.__origin__
    if not any(mark is cog.Opaque for mark in annotation.__metadata__):
        return _read(inner, namespace, where, seen)
    origin, args = _origin(inner)
    if origin in _LISTS or inner in _LISTS:
        return TypeSpec("list", item=TypeSpec("dict"))
    if _is_union(origin) and type(None) in args:
        return TypeSpec("dict", nullable=True)
    return TypeSpec("dict")


def _is_union(origin: Any) -> bool:
    return origin is typing.Union or (origin is not None and getattr(origin, "__name__", "") == "UnionType")


def _read_generic(
    annotation: Any, origin: Any, args: Tuple[Any, ...], namespace: Dict[str, Any], where: str, seen: Tuple[Any, ...]
) -> TypeSpec:
    if _is_union(origin):
        return _read_union(args, namespace, where, seen)
    if getattr(origin, "__name__", "") == "Literal" or str(origin) in ("typing.Literal", "typing_extensions.Literal"):
        return _read_choices(list(args), where)
    if str(origin) in ("typing.Required", "typing.NotRequired", "typing.ReadOnly", "typing.Final", "typing.ClassVar"):
        return _read(args[0], namespace, where, seen)
    item = _read(args[0], namespace, where, seen) if args else ANY
    if origin in _CONCATENATE or origin in _ITERATORS:
        return TypeSpec("iterator", item=item, concatenate=origin in _CONCATENATE)
    if origin in _LISTS or origin in (set, frozenset):
        return TypeSpec("list", item=item)
    if origin is tuple:
        return TypeSpec("list", item=item if len(set(args) - {Ellipsis}) == 1 else ANY)
    if origin in _DICTS:
        return TypeSpec("dict", item=_read(args[1], namespace, where, seen) if len(args) == 2 else None)
    if isinstance(origin, type):
        return _read_class(origin, namespace, where, seen)
    raise AnnotationError("{}: {!r} is not a type that a model can take or give".format(where, annotation))


def _read_union(args: Tuple[Any, ...], namespace: Dict[str, Any], where: str, seen: Tuple[Any, ...]) -> TypeSpec:
    nullable = type(None) in args
    members = [_read(arg, namespace, where, seen) for arg in args if arg is not type(None)]
    flat: List[TypeSpec] = []
    for member in members:
        nullable = nullable or member.nullable
        flat.extend(member.variants if member.kind == "union" else [member])
    if not flat:
        return TypeSpec("none", nullable=True)
    if len(flat) == 1:
        return flat[0]._replace(nullable=nullable)
    if all(member.kind == "path" for member in flat):
        return flat[0]._replace(nullable=nullable)
    return TypeSpec("union", nullable=nullable, variants=tuple(flat))


def _read_choices(values: List[Any], where: str) -> TypeSpec:
    nullable = None in values
    values = [value for value in values if value is not None]
    kinds = {_PRIMITIVES.get(type(value)) for value in values}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        raise AnnotationError("{}: a Literal's values must all be of one type: str, int, float or bool".format(where))
    return TypeSpec(kind, nullable=nullable, choices=values)


def _is_pydantic(cls: Any) -> bool:
    return hasattr(cls, "model_fields") or hasattr(cls, "__fields__") and hasattr(cls, "__validators__")


def _is_typed_dict(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__total__")


def _read_class(cls: Any, namespace: Dict[str, Any], where: str, seen: Tuple[Any, ...]) -> TypeSpec:
    if cls in _PRIMITIVES:
        return TypeSpec(_PRIMITIVES[cls])
    coder = cog.Coder.lookup(cls)
    if coder is not None:
        return TypeSpec("coder", cls=coder)
    if issubclass(cls, enum.Enum):
        return _read_choices([member.value for member in cls], where)._replace(cls=cls)
    form = form_of(cls)
    if form is not None:
        return TypeSpec(form.kind)
    if issubclass(cls, cog.Secret):
        return TypeSpec("secret")
    if issubclass(cls, (pathlib.PurePath, os.PathLike)):
        return TypeSpec("path", cls=cls)
    if issubclass(cls, io.IOBase) or cls in (typing.IO, typing.BinaryIO, typing.TextIO):
        return TypeSpec("file")
    if cls in _LISTS or issubclass(cls, (tuple, set, frozenset)):
        return TypeSpec("list", item=ANY)
    if dataclasses.is_dataclass(cls) or issubclass(cls, cog.BaseModel) or _is_pydantic(cls) or _is_typed_dict(cls):
        return _read_object(cls, where, seen)
    if cls in _DICTS or issubclass(cls, dict):
        return TypeSpec("dict")
    for base, kind in _PRIMITIVES.items():
        if issubclass(cls, base):
            return TypeSpec(kind, cls=cls)
    raise AnnotationError(
        "{}: a model can't take or give {!r}. Use str, int, float, bool, cog.Path, cog.Secret, datetime, Decimal, UUID, list, dict, a "
        "TypedDict or a BaseModel; for a JSON value of another package's type write Annotated[..., cog.Opaque]".format(where, cls.__name__)
    )


def _read_object(cls: Any, where: str, seen: Tuple[Any, ...]) -> TypeSpec:
    if cls in seen:
        return TypeSpec("dict")
    module = sys.modules.get(cls.__module__)
    namespace = dict(vars(module)) if module is not None else {}
    namespace.setdefault(cls.__name__, cls)
    fields = []
    for base in reversed(cls.__mro__):
        for name, annotation in (getattr(base, "__annotations__", None) or {}).items() if base is not object else ():
            if not name.startswith("_") and name not in ("model_config", "model_fields", "model_computed_fields"):
                fields.append((name, annotation))
    specs = []
    for name, annotation in dict(fields).items():
        place = "{}.{}".format(where, name)
        try:
            resolved = resolve(annotation, namespace)
        except Exception as error:
            raise AnnotationError("{}: the annotation {!r} can't be evaluated: {}".format(place, annotation, error)) from error
        if str(typing.get_origin(resolved)) in ("typing.ClassVar",):
            continue
        spec = _read(resolved, namespace, place, seen + (cls,))
        specs.append((name, spec, _is_required(cls, name, spec)))
    return TypeSpec("object", fields=tuple(specs), cls=cls)


def _is_required(cls: Any, name: str, spec: TypeSpec) -> bool:
    if _is_typed_dict(cls):
        return name in getattr(cls, "__required_keys__", (name,) if cls.__total__ else ())
    known = getattr(cls, "model_fields", None) or getattr(cls, "__fields__", None)
    if known and name in known:
        wanted = known[name]
        answer = wanted.is_required() if callable(getattr(wanted, "is_required", None)) else getattr(wanted, "required", True)
        return bool(answer)
    field = getattr(cls, "__dataclass_fields__", {}).get(name)
    if field is not None and (field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING):
        return False
    return not spec.nullable
