"""``cog.predictor``: the base classes under the module path that models import them from."""

from ._runner import BasePredictor, BaseRunner

__all__ = ["BasePredictor", "BaseRunner"]
