"""When models hold their device, noted where no pool looks, by a clock that all processes of a machine share."""
import itertools
import os
import threading
import time
from contextlib import contextmanager
from typing import Iterator, List, Set

_pool = os.getppid()
_card = os.environ.get("CUDA_VISIBLE_DEVICES") or ""
_device = "cpu" if _card == "" else "{}{}".format(os.environ["CHAOS_CARDS"], _card)
_numbers = itertools.count()
_running: Set[int] = set()
_ALIVE_EVERY_S = 0.1


@contextmanager
def held(keys: List[str]) -> Iterator[None]:
    """The run of these keys has the device inside.

    Its lines tell process, number and time (ns); the first also pool, device and keys. While it runs it says that it is
    alive, so that the last line tells until when a run had the device that was killed.
    """
    number = next(_numbers)
    if number == 0:
        threading.Thread(target=_tell_alive, daemon=True).start()
    _note("begin", number, _pool, _device.replace(" ", "_"), ",".join(keys))
    _running.add(number)
    try:
        yield
    finally:
        _running.discard(number)
        _note("end", number)


def _tell_alive() -> None:
    while True:
        time.sleep(_ALIVE_EVERY_S)
        for number in list(_running):
            _note("alive", number)


def _note(what: str, number: int, *more: object) -> None:
    words = [what, os.getpid(), number, time.monotonic_ns(), *more]
    with open(os.environ["CHAOS_RUNS_FILE"], "ab", buffering=0) as runs:
        runs.write((" ".join(str(word) for word in words) + "\n").encode())
