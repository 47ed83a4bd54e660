"""What an annotation means at the border: a small tree of kinds that validation, encoding and the schema all read."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

PRIMITIVES = ("str", "int", "float", "bool")
FILES = ("path", "file")


class TypeSpec(NamedTuple):
    """One annotation.

    ``kind`` is str, int, float, bool, path, file, secret, any, dict, list, union, object, coder, iterator, none or one
    of text_forms.py: datetime, date, time, duration, decimal, uuid. ``item`` is the element of a list, a dict's values
    or an iterator; ``variants`` the members of a union; ``fields`` the (name, spec, required) of an object; ``cls`` the
    Python class behind an object, a coder or a subclass.
    """

    kind: str
    nullable: bool = False
    item: Optional["TypeSpec"] = None
    variants: Tuple["TypeSpec", ...] = ()
    choices: Optional[List[Any]] = None
    fields: Tuple[Tuple[str, "TypeSpec", bool], ...] = ()
    cls: Any = None
    concatenate: bool = False


ANY = TypeSpec("any")


class AnnotationError(TypeError):
    """An annotation that cannot cross the border; the message says where and what to write instead."""
