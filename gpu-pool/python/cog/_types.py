"""Types that a model's signature can use: files, secrets, streams."""

from __future__ import annotations

import io
import pathlib
from typing import Any, AsyncIterator, Callable, Iterator, Optional, TypeVar

T_co = TypeVar("T_co", covariant=True)


class _InPydantic:
    """Lets pydantic, where a model installs it, use these types in its own models."""

    @classmethod
    def _accept(cls, value: Any) -> Any:
        return value if isinstance(value, cls) else cls(value)  # type: ignore[call-arg]

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], Any]]:
        yield cls._accept

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema  # type: ignore[import-not-found]

        return core_schema.no_info_plain_validator_function(cls._accept)


class Path(_InPydantic, type(pathlib.Path())):  # type: ignore[misc]
    """The path of a file on disk. As an input it is there before the prediction begins; as an output it is uploaded."""


class URLPath(Path):
    """A path whose file came from a URL. It is fetched before the prediction begins, so it is a plain path here."""

    def convert(self) -> Path:
        """The path itself; kept for models that call it."""
        return Path(self)


class File(io.IOBase):
    """A file handle. Cog deprecates it in favour of ``Path``."""

    def __new__(cls, source: Any = None) -> Any:
        if source is None:
            return super().__new__(cls)
        if isinstance(source, (bytes, bytearray)):
            return io.BytesIO(source)
        return source


class URLFile(File):
    """A file handle whose content came from a URL; it is fetched before the prediction begins."""


class Secret(_InPydantic):
    """A string that does not show itself when printed. ``get_secret_value()`` gives it."""

    __slots__ = ("_secret_value",)
    _secret_value: Optional[str]

    def __init__(self, secret_value: Optional[str] = None) -> None:
        object.__setattr__(self, "_secret_value", secret_value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Secret cannot be changed")

    def __reduce__(self) -> Any:
        return (type(self), (self._secret_value,))

    def get_secret_value(self) -> Optional[str]:
        """The string itself."""
        return self._secret_value

    @property
    def secret_value(self) -> Optional[str]:
        """The string itself, under the name of Cog's dataclass."""
        return self.get_secret_value()

    def __str__(self) -> str:
        return "" if self._secret_value is None else "**********"

    def __repr__(self) -> str:
        return "Secret({})".format(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._secret_value == self._secret_value

    def __hash__(self) -> int:
        return hash(self._secret_value)


class ConcatenateIterator(Iterator[T_co]):
    """An iterator whose chunks of text are parts of one text."""


class AsyncConcatenateIterator(AsyncIterator[T_co]):
    """An asynchronous iterator whose chunks of text are parts of one text."""


class _OpaqueMarker:
    """``Annotated[T, Opaque]``: take or give the JSON value as it is, whatever ``T`` says."""

    def __repr__(self) -> str:
        return "cog.Opaque"


Opaque = _OpaqueMarker()
