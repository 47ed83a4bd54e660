"""``Input(...)``: what a model says of one of its inputs beyond the type."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Union

Number = Union[int, float]


class _Unset:
    def __repr__(self) -> str:
        return "<no default>"

    def __bool__(self) -> bool:
        return False


UNSET = _Unset()


class FieldInfo:
    """The constraints and the description of one input."""

    __slots__ = (
        "default",
        "description",
        "ge",
        "le",
        "min_length",
        "max_length",
        "regex",
        "choices",
        "deprecated",
        "accept",
    )

    def __init__(
        self,
        default: Any = UNSET,
        description: Optional[str] = None,
        ge: Optional[Number] = None,
        le: Optional[Number] = None,
        min_length: Optional[int] = None,
        max_length: Optional[int] = None,
        regex: Optional[str] = None,
        choices: Optional[List[Any]] = None,
        deprecated: Optional[bool] = None,
        accept: Optional[str] = None,
    ) -> None:
        self.default = default
        self.description = description
        self.ge = ge
        self.le = le
        self.min_length = min_length
        self.max_length = max_length
        self.regex = regex
        self.choices = choices
        self.deprecated = deprecated
        self.accept = accept

    def __repr__(self) -> str:
        said = ((name, getattr(self, name)) for name in self.__slots__)
        return "Input({})".format(", ".join("{}={!r}".format(n, v) for n, v in said if v is not None and v is not UNSET))


def Input(  # noqa: N802 - Cog's name
    default: Any = UNSET,
    *,
    default_factory: Optional[Callable[..., Any]] = None,
    description: Optional[str] = None,
    ge: Optional[Number] = None,
    le: Optional[Number] = None,
    min_length: Optional[int] = None,
    max_length: Optional[int] = None,
    regex: Optional[str] = None,
    choices: Optional[List[Any]] = None,
    deprecated: Optional[bool] = None,
    accept: Optional[str] = None,
) -> Any:
    """Describe one input: default, bounds (``ge``, ``le``), lengths, ``regex``, ``choices``, ``deprecated``.

    Without ``default`` the input is required; ``default=None`` makes it optional.
    """
    if default_factory is not None:
        raise TypeError("Input() takes no default_factory: give a plain default, or build the value inside the run method.")
    if default is Ellipsis:
        default = UNSET
    return FieldInfo(default, description, ge, le, min_length, max_length, regex, choices, deprecated, accept)
