"""When models hold their device, noted where no pool looks, by a clock that all processes of a machine share."""
import itertools
import os
import time
from contextlib import contextmanager
from typing import Iterator, List

_pool = os.getppid()
_card = os.environ.get("CUDA_VISIBLE_DEVICES") or ""
_device = "cpu" if _card == "" else "{}{}".format(os.environ["CHAOS_CARDS"], _card)
_numbers = itertools.count()


@contextmanager
def held(keys: List[str]) -> Iterator[None]:
    """The run of these keys has the device inside.

    Its lines tell process, number and time (ns); the first also pool, device and keys.
    """
    number = next(_numbers)
    _note("begin", number, _pool, _device.replace(" ", "_"), ",".join(keys))
    try:
        yield
    finally:
        _note("end", number)


def _note(what: str, number: int, *more: object) -> None:
    words = [what, os.getpid(), number, time.monotonic_ns(), *more]
    with open(os.environ["CHAOS_RUNS_FILE"], "ab", buffering=0) as runs:
        runs.write((" ".join(str(word) for word in words) + "\n").encode())
