"""Cancels a synchronous prediction: a signal to the main thread, whose handler raises ``CancelationException`` there.

State: *aimed* at the ids that run (``aim``), *masked* while a frame is being sent, *off* between predictions. A signal
that arrives masked is kept until ``unmask``; one that arrives off is ignored, since the ids that are to be canceled are
remembered by name.
"""

from __future__ import annotations

import signal
import threading
from collections import OrderedDict
from types import FrameType
from typing import Iterable, Optional, Tuple

import cog

_SIGNAL = signal.SIGRTMIN + 7
_REMEMBERED = 1024


class Cancels:
    """The ids that were asked to be canceled. A cancel can overtake its run, so unknown ids are kept a while."""

    def __init__(self) -> None:
        self._ids: "OrderedDict[str, None]" = OrderedDict()
        self._lock = threading.Lock()

    def add(self, prediction_id: str) -> None:
        """Remember an id."""
        with self._lock:
            self._ids[prediction_id] = None
            while len(self._ids) > _REMEMBERED:
                self._ids.popitem(last=False)

    def has(self, prediction_id: str) -> bool:
        """True when the id is to be canceled."""
        return prediction_id in self._ids

    def has_all(self, prediction_ids: Iterable[str]) -> bool:
        """True when all of them are."""
        return bool(self._ids) and all(one in self._ids for one in prediction_ids)

    def forget(self, prediction_id: str) -> None:
        """Drop an id that has ended."""
        if self._ids:
            with self._lock:
                self._ids.pop(prediction_id, None)


class Interrupter:
    """Raises in the main thread when everything that runs there is to be canceled."""

    def __init__(self, cancels: Cancels) -> None:
        self._cancels = cancels
        self._target: Tuple[str, ...] = ()
        self._masks = 0
        self._pending = False
        self._main = threading.main_thread().ident
        signal.signal(_SIGNAL, self._handle)

    def aim(self, *prediction_ids: str) -> None:
        """These run from here on. Raises at once when they are all canceled already."""
        self._pending = False
        self._masks = 0
        self._target = prediction_ids
        if self._cancels.has_all(prediction_ids):
            raise cog.CancelationException("the prediction was canceled")

    def off(self) -> None:
        """Nothing runs."""
        self._target = ()

    def mask(self) -> None:
        """Hold a cancellation back while a frame is sent. Masks nest."""
        self._masks += 1

    def unmask(self) -> None:
        """Raise what was held back, once the last mask is gone."""
        self._masks -= 1
        if self._pending and not self._masks and self._target:
            self._pending = False
            raise cog.CancelationException("the prediction was canceled")

    @property
    def on_main(self) -> bool:
        """True in the thread that runs predictions."""
        return threading.get_ident() == self._main

    def poke(self) -> None:
        """Ask the main thread to look, from another thread."""
        if self._main is not None:
            signal.pthread_kill(self._main, _SIGNAL)

    def _handle(self, _number: int, _frame: Optional[FrameType]) -> None:
        if not self._target or not self._cancels.has_all(self._target):
            return
        if self._masks:
            self._pending = True
            return
        raise cog.CancelationException("the prediction was canceled")
