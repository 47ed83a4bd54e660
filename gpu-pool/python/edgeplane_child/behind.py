"""Makes the outputs of a run ready, and sends them, while the run behind it is on the device.

State of a run: called by the main thread → handed over here, once the one before it has left → ``called`` said →
postprocessed, encoded and sent in a thread, with ``idle``. So one is here at a time, and none waits.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import Any, Callable, Dict, List, Optional

from cog._scope import task_scope

from .batches import Batch
from .frames import Channel
from .interrupt import Cancels
from .prediction import Prediction, called
from .runs import Ending, close_run


class CalledRun:
    """A run whose call is over. ``data`` are the frames that go before its own, ``memory`` is what it took."""

    def __init__(self, message: Dict[str, Any], predictions: List[Prediction], batch: Batch, result: Any, data: bytes, memory: Any) -> None:
        self.message = message
        self.predictions = predictions
        self.batch = batch
        self.result = result
        self.data = data
        self.memory = memory


class RunBehind:
    """The one run of a slot that is postprocessed."""

    def __init__(self, channel: Channel, postprocess: Callable[[Any], Any], cancels: Cancels) -> None:
        self._channel = channel
        self._postprocess = postprocess
        self._cancels = cancels
        self._pid = os.getpid()
        self._runs: "queue.Queue[CalledRun]" = queue.Queue()
        self._free = threading.Semaphore(1)
        self._current: Optional[CalledRun] = None
        threading.Thread(target=self._serve, name="edgeplane-behind", daemon=True).start()

    @property
    def ids(self) -> List[str]:
        """The ids of the predictions that are here."""
        current = self._current
        return [] if current is None else [prediction.id for prediction in current.predictions]

    def give(self, run: CalledRun) -> None:
        """Hand a run over, when the one before it is done."""
        self._free.acquire()
        self._current = run
        self._channel.send(called(run.message.get("batch")))
        self._runs.put(run)

    def wait(self) -> None:
        """Wait until nothing is here."""
        self._free.acquire()
        self._free.release()

    def _serve(self) -> None:
        while True:
            run = self._runs.get()
            close_run(self._channel, run.message, run.predictions, run.data + self._finish(run), self._cancels, run.memory)
            self._current = run = None  # type: ignore[assignment]
            self._free.release()

    def _finish(self, run: CalledRun) -> bytes:
        task_scope.set(run.batch.scope)
        failure: Optional[BaseException] = None
        data = b""
        try:
            data = run.batch.finish(self._postprocess(run.result), "postprocess_batch")
        except BaseException as error:
            failure = error
        if os.getpid() != self._pid:
            # A process that the model forked and that came back here must not answer for this one.
            os._exit(0 if failure is None else 1)
        return data if failure is None else Ending(failure, False).of_batch(run.batch)
