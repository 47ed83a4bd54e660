"""Reads the next run of a slot, and makes its inputs ready, while the one before it runs.

State of a run: read and made ready in a thread → waits here → taken by the main thread, which says ``begun``. The pool
sends as many runs ahead as ``loaded.ahead`` says, so no more than these wait.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import Any, Dict, List, Optional

from cog._scope import task_scope

from .batches import Batch
from .frames import Channel
from .inputs import InputReader
from .loader import Model
from .prediction import Encode, Prediction
from .runs import read_run


class ReadyRun:
    """A run that can begin. ``batch`` is None for a model whose items run one after another; those read their inputs
    when they begin."""

    def __init__(self, message: Dict[str, Any], predictions: List[Prediction], batch: Optional[Batch]) -> None:
        self.message = message
        self.predictions = predictions
        self.batch = batch
        self.inputs: List[Any] = []
        #: The frames of those whose inputs are wrong: they leave when the run begins.
        self.refused = b""
        #: What ``prepare_batch`` made of the inputs; ``inputs`` itself without one.
        self.prepared: Any = None
        self.failure: Optional[BaseException] = None

    def prepare(self, model: Model, reader: InputReader) -> None:
        """Read the inputs, and let the model prepare them. What it raises is kept for when the run begins."""
        if self.batch is None:
            return
        self.inputs, self.refused = self.batch.prepare(reader)
        self.prepared = self.inputs
        if model.prepare is None or not self.inputs:
            return
        task_scope.set(self.batch.scope)
        try:
            self.prepared = model.prepare(self.inputs)
        except BaseException as error:
            self.failure = error


class RunsAhead:
    """The runs of one slot, in their order, each ready as soon as it has come."""

    def __init__(self, channel: Channel, model: Model, reader: InputReader, encode: Encode, send: Any) -> None:
        self._channel = channel
        self._model = model
        self._reader = reader
        self._encode = encode
        self._send = send
        self._pid = os.getpid()
        self._ready: "queue.Queue[Any]" = queue.Queue()
        threading.Thread(target=self._read, name="edgeplane-ahead", daemon=True).start()

    def next(self) -> Optional[ReadyRun]:
        """Wait for the next run; None when the pool closed the slot. Raises what reading raised."""
        ready = self._ready.get()
        if isinstance(ready, BaseException):
            raise ready
        found: Optional[ReadyRun] = ready
        return found

    def _read(self) -> None:
        try:
            while True:
                message = read_run(self._channel)
                if message is None:
                    break
                predictions = [Prediction(item, self._channel, self._encode, self._send) for item in message["items"]]
                run = ReadyRun(message, predictions, Batch(predictions) if self._model.batch is not None else None)
                run.prepare(self._model, self._reader)
                if os.getpid() != self._pid:
                    # A process that the model forked and that came back here must not answer for this one.
                    os._exit(0 if run.failure is None else 1)
                self._ready.put(run)
        except BaseException as error:
            self._ready.put(error)
        self._ready.put(None)
