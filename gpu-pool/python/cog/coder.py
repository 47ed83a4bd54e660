"""``cog.coder``: how a model teaches types of its own to cross the border as JSON objects."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Type


class Coder:
    """Inherit from it, implement ``factory``, ``encode`` and ``decode``, and register the class."""

    _coders: List[Type["Coder"]] = []

    @staticmethod
    def register(coder: Type["Coder"]) -> None:
        """Let a coder take part in the look-up."""
        if coder not in Coder._coders:
            Coder._coders.append(coder)

    @staticmethod
    def lookup(tpe: Any) -> Optional["Coder"]:
        """The coder for a type, or None."""
        for coder in Coder._coders:
            found = coder.factory(tpe)
            if found is not None:
                return found
        return None

    @staticmethod
    def factory(tpe: Any) -> Optional["Coder"]:
        """A coder for this type, or None when the class does not know it."""
        raise NotImplementedError

    def encode(self, x: Any) -> Dict[str, Any]:
        """The value as a JSON object."""
        raise NotImplementedError

    def decode(self, x: Dict[str, Any]) -> Any:
        """The value from its JSON object."""
        raise NotImplementedError
