"""One input of a batch, as ``predict_batch`` gets it."""

from __future__ import annotations

from typing import Any, Dict, Iterator


class BatchInput:
    """The inputs of one prediction of a batch, by attribute (``item.text``) or by key (``item["text"]``)."""

    def __init__(self, values: Dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def keys(self) -> Any:
        """The names of the inputs; with ``[]`` it makes ``predict(**item)`` work."""
        return self.__dict__.keys()

    def __repr__(self) -> str:
        return "BatchInput({})".format(", ".join(self.__dict__))
