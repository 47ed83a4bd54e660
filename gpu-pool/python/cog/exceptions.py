"""Exceptions of the run interface, under the names that Cog documents."""

__all__ = ["CancelationException"]


class CancelationException(BaseException):
    """Raised inside a synchronous prediction when it is canceled.

    A ``BaseException``, so that ``except Exception`` in a model does not swallow it. Clean up and raise it again.
    """
