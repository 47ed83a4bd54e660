"""The signature of a run method: its inputs, in order, and its output."""

from __future__ import annotations

import inspect
import re
from typing import Any, Callable, List, NamedTuple, Optional

import cog
from cog._input import UNSET

from .annotations import read_annotation
from .typespec import PRIMITIVES, AnnotationError, TypeSpec


class Field(NamedTuple):
    """One input: its type, its constraints, and what it is when the caller leaves it out."""

    name: str
    spec: TypeSpec
    info: cog.FieldInfo
    required: bool
    default: Any
    choices: Optional[List[Any]]


class Signature(NamedTuple):
    """All inputs of a run method and its output; ``takes_more`` when it has ``**kwargs``."""

    fields: List[Field]
    output: TypeSpec
    takes_more: bool


def read_signature(run: Callable[..., Any]) -> Signature:
    """Read the signature of a bound method or a function. Raises AnnotationError with the input's name."""
    function = inspect.unwrap(getattr(run, "__func__", run))
    namespace = dict(getattr(function, "__globals__", {}))
    signature = inspect.signature(run)
    fields = []
    takes_more = False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            takes_more = True
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            fields.append(_read_field(parameter, namespace))
    output = read_annotation(signature.return_annotation, namespace, "the output")
    return Signature(fields, output, takes_more)


def _read_field(parameter: inspect.Parameter, namespace: Any) -> Field:
    name = parameter.name
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise AnnotationError("input {!r} is positional only; a model gets its inputs by name".format(name))
    spec = read_annotation(parameter.annotation, namespace, "input {!r}".format(name))
    info = parameter.default
    if not isinstance(info, cog.FieldInfo):
        info = cog.FieldInfo(default=UNSET if info is inspect.Parameter.empty else info)
    default = info.default
    required = default is UNSET and not spec.nullable
    if default is UNSET or default is None:
        default = None
        spec = spec._replace(nullable=not required)
    choices = info.choices if info.choices is not None else spec.choices
    _check(name, spec, info)
    return Field(name, spec, info, required, default, list(choices) if choices is not None else None)


def _check(name: str, spec: TypeSpec, info: cog.FieldInfo) -> None:
    said = "input {!r}: ".format(name)
    if spec.kind in ("iterator", "none"):
        raise AnnotationError(said + "an input can't be of this type")
    if spec.kind == "union":
        for variant in spec.variants:
            if variant.kind not in PRIMITIVES + ("any", "dict", "list"):
                raise AnnotationError(said + "a union may hold str, int, float, bool, dict, list and None only")
    if info.choices is not None:
        if not info.choices:
            raise AnnotationError(said + "choices must not be empty")
        if info.ge is not None or info.le is not None:
            raise AnnotationError(said + "choices can't be used together with ge or le")
    if info.regex is not None:
        try:
            re.compile(info.regex)
        except re.error as error:
            raise AnnotationError(said + "its regex is not valid: {}".format(error)) from None
