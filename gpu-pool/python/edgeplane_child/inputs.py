"""Checks the inputs of a prediction against the signature and makes them what the model expects.

Every problem of an input is found before one error is raised, and each names its field.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Callable, Dict, List, Optional

import cog

from .failures import disk_full
from .files import FileProblem, InputFiles
from .signature import Field, Signature
from .text_forms import BY_KIND, TextForm, as_json
from .typespec import PRIMITIVES, TypeSpec

Coerce = Callable[[Any, InputFiles], Any]

_NAMES = {"str": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}


class InputError(ValueError):
    """Inputs that the model does not take; the message names each field and what is wrong with it."""


class Mismatch(ValueError):
    """A value that is not of the type; the message reads on from the field's name."""

    def at(self, place: str) -> "Mismatch":
        """The same problem, seen from one level further out."""
        said = str(self)
        return Mismatch(place + said if said[:1] in ".[" else "{} {}".format(place, said))


def json_name(value: Any) -> str:
    """What a JSON value is, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return {"str": "a string", "list": "an array", "dict": "an object"}.get(type(value).__name__, type(value).__name__)


def _coerce_str(value: Any, files: InputFiles) -> Any:
    if not isinstance(value, str):
        raise Mismatch("must be a string, not {}".format(json_name(value)))
    return value


def _coerce_int(value: Any, files: InputFiles) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise Mismatch("must be an integer, not {}".format("a fraction" if isinstance(value, float) else json_name(value)))


def _coerce_float(value: Any, files: InputFiles) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Mismatch("is a number too large") from None
    raise Mismatch("must be a number, not {}".format(json_name(value)))


def _coerce_bool(value: Any, files: InputFiles) -> Any:
    if not isinstance(value, bool):
        raise Mismatch("must be true or false, not {}".format(json_name(value)))
    return value


def _coerce_secret(value: Any, files: InputFiles) -> Any:
    if not isinstance(value, str):
        raise Mismatch("must be a string, not {}".format(json_name(value)))
    return cog.Secret(value)


def _coerce_path(value: Any, files: InputFiles) -> Any:
    if not isinstance(value, str):
        raise Mismatch("must be a file: a data URI or a URL, not {}".format(json_name(value)))
    try:
        return files.path(value)
    except FileProblem as error:
        raise Mismatch(str(error)) from None


def _coerce_file(value: Any, files: InputFiles) -> Any:
    return files.open(_coerce_path(value, files))


def _text_coercer(form: TextForm) -> Coerce:
    takes = (str, int, float) if form.kind == "decimal" else (str,)

    def coerce(value: Any, files: InputFiles) -> Any:
        if not isinstance(value, takes) or isinstance(value, bool):
            raise Mismatch("must be {}, not {}".format(form.expected, json_name(value)))
        try:
            return form.take(str(value))
        except ValueError:
            raise Mismatch("must be {}".format(form.expected)) from None

    return coerce


def _coerce_any(value: Any, files: InputFiles) -> Any:
    return value


_SIMPLE: Dict[str, Coerce] = {
    "str": _coerce_str,
    "int": _coerce_int,
    "float": _coerce_float,
    "bool": _coerce_bool,
    "secret": _coerce_secret,
    "path": _coerce_path,
    "file": _coerce_file,
    "any": _coerce_any,
}
_SIMPLE.update((kind, _text_coercer(form)) for kind, form in BY_KIND.items())


def coercer(spec: TypeSpec) -> Coerce:
    """The function that checks and converts a value of this type; it raises Mismatch."""
    inner = _coercer_of_kind(spec)
    if spec.cls is not None and spec.kind in PRIMITIVES:
        plain, cls = inner, spec.cls

        def inner(value: Any, files: InputFiles) -> Any:
            try:
                return cls(plain(value, files))
            except ValueError as error:
                raise Mismatch("is not valid: {}".format(error)) from None

    if not spec.nullable:
        return inner
    return lambda value, files: None if value is None else inner(value, files)


def _coercer_of_kind(spec: TypeSpec) -> Coerce:
    simple = _SIMPLE.get(spec.kind)
    if simple is not None:
        return simple
    if spec.kind == "list":
        return _list_coercer(coercer(spec.item) if spec.item is not None else _coerce_any)
    if spec.kind == "dict":
        return _dict_coercer(coercer(spec.item) if spec.item is not None else None)
    if spec.kind == "union":
        return _union_coercer(spec)
    if spec.kind == "object":
        return _object_coercer(spec)
    if spec.kind == "coder":
        return lambda value, files: spec.cls.decode(value)
    return _coerce_any


def _list_coercer(item: Coerce) -> Coerce:
    def coerce(value: Any, files: InputFiles) -> Any:
        if not isinstance(value, list):
            raise Mismatch("must be an array, not {}".format(json_name(value)))
        out = []
        for index, element in enumerate(value):
            told = len(files.lies)
            try:
                out.append(item(element, files))
            except Mismatch as error:
                raise error.at("[{}]".format(index)) from None
            files.locate(told, "[{}]".format(index))
        return out

    return coerce


def _dict_coercer(item: Optional[Coerce]) -> Coerce:
    def coerce(value: Any, files: InputFiles) -> Any:
        if not isinstance(value, dict):
            raise Mismatch("must be an object, not {}".format(json_name(value)))
        if item is None:
            return value
        out = {}
        for key, element in value.items():
            try:
                out[key] = item(element, files)
            except Mismatch as error:
                raise error.at(".{}".format(key)) from None
        return out

    return coerce


def _union_coercer(spec: TypeSpec) -> Coerce:
    order = ("bool", "int", "float", "str", "list", "dict", "any")
    # The narrower first: most of what text can mean is a string, too.
    members = sorted(spec.variants, key=lambda variant: order.index(variant.kind) if variant.kind in order else -1)
    tries = [(variant.kind, coercer(variant)) for variant in members]
    has_int = any(kind == "int" for kind, _ in tries)
    expected = " or ".join(_NAMES.get(variant.kind, "an " + {"list": "array"}.get(variant.kind, "object")) for variant in spec.variants)

    def coerce(value: Any, files: InputFiles) -> Any:
        for kind, attempt in tries:
            if kind == "float" and isinstance(value, int) and not isinstance(value, bool) and not has_int:
                return value
            if kind == "int" and isinstance(value, float):
                continue
            try:
                return attempt(value, files)
            except Mismatch:
                continue
        raise Mismatch("must be {}, not {}".format(expected, json_name(value)))

    return coerce


def _object_coercer(spec: TypeSpec) -> Coerce:
    inner = {name: (coercer(field), required) for name, field, required in spec.fields}
    plain = hasattr(spec.cls, "__total__")

    def coerce(value: Any, files: InputFiles) -> Any:
        if not isinstance(value, dict):
            raise Mismatch("must be an object, not {}".format(json_name(value)))
        if plain:
            return value
        out = {}
        for name, (field, required) in inner.items():
            if name in value:
                try:
                    out[name] = field(value[name], files)
                except Mismatch as error:
                    raise error.at(".{}".format(name)) from None
            elif required:
                raise Mismatch(".{} is required".format(name))
        return spec.cls(**out)

    return coerce


def _checks(field: Field) -> List[Callable[[Any], Optional[str]]]:
    info = field.info
    checks: List[Callable[[Any], Optional[str]]] = []
    if info.ge is not None:
        ge = info.ge
        checks.append(lambda v: "must be at least {}".format(ge) if not v >= ge else None)
    if info.le is not None:
        le = info.le
        checks.append(lambda v: "must be at most {}".format(le) if not v <= le else None)
    if info.min_length is not None:
        shortest = info.min_length
        checks.append(lambda v: "must have at least {} characters".format(shortest) if len(v) < shortest else None)
    if info.max_length is not None:
        longest = info.max_length
        checks.append(lambda v: "must have at most {} characters".format(longest) if len(v) > longest else None)
    if info.regex is not None:
        pattern = re.compile(info.regex)
        checks.append(lambda v: None if pattern.search(v) else "must match the pattern {}".format(pattern.pattern))
    if field.choices is not None:
        choices = field.choices
        shown = ", ".join(repr(as_json(choice)) for choice in choices)
        checks.append(lambda v: None if v in choices or getattr(v, "value", v) in choices else "must be one of " + shown)
    return checks


class _Reader:
    __slots__ = ("name", "coerce", "checks", "required", "default", "copies", "each")

    def __init__(self, field: Field) -> None:
        self.name = field.name
        self.coerce = coercer(field.spec)
        self.checks = _checks(field)
        self.required = field.required
        self.default = _default(field)
        self.copies = isinstance(self.default, (list, dict, set))
        self.each = field.spec.kind == "list"

    def problem(self, value: Any) -> Optional[str]:
        """What the constraints say against the value; those of a list count for each element."""
        if value is None:
            return None
        for index, element in enumerate(value) if self.each else ((None, value),):
            secret = element.get_secret_value() if isinstance(element, cog.Secret) else element
            for check in self.checks:
                found = check(secret)
                if found is not None:
                    return found if index is None else "[{}] {}".format(index, found)
        return None


def _default(field: Field) -> Any:
    if isinstance(field.default, str):
        if field.spec.kind == "secret":
            return cog.Secret(field.default)
        if field.spec.kind == "path":
            return cog.Path(field.default)
        if field.spec.kind in BY_KIND:
            return BY_KIND[field.spec.kind].take(field.default)
    return field.default


class InputReader:
    """Reads the inputs of predictions of one model."""

    def __init__(self, signature: Signature) -> None:
        self._readers = [_Reader(field) for field in signature.fields]
        self._known = frozenset(field.name for field in signature.fields)
        self._takes_more = signature.takes_more

    def read(self, raw: Any, files: InputFiles) -> Dict[str, Any]:
        """The keyword arguments for the run method. Raises InputError, and OSError where a disk takes no more. Unknown
        inputs are dropped, as Cog drops them."""
        if not isinstance(raw, dict):
            raise InputError("The input must be an object with a field for each input, not {}".format(json_name(raw)))
        values: Dict[str, Any] = {}
        problems: List[str] = []
        for reader in self._readers:
            name = reader.name
            if name not in raw:
                if reader.required:
                    problems.append("{}: is required".format(name))
                else:
                    values[name] = copy.deepcopy(reader.default) if reader.copies else reader.default
                continue
            told = len(files.lies)
            try:
                value = reader.coerce(raw[name], files)
                found = reader.problem(value) if reader.checks else None
            except Mismatch as error:
                found = str(error)
            except Exception as error:
                # It is this host that has no room for its file, and not the input that is wrong.
                if disk_full(error):
                    raise
                found = "is not valid: {}: {}".format(type(error).__name__, error)
            files.locate(told, name)
            if found is None:
                values[name] = value
            else:
                problems.append("{}{}{}".format(name, "" if found[:1] in "[." else ": ", found))
        if problems:
            raise InputError("Input validation failed: " + "; ".join(problems))
        if self._takes_more:
            for name in raw:
                if name not in self._known:
                    values[name] = raw[name]
        return values
