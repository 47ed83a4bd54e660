"""How a run begins and ends, whichever kind of slot it is in: synchronous slots and asynchronous ones differ only in
how they call the model."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .batches import Batch
from .failures import traceback_text
from .frames import Channel, ProtocolError
from .inputs import InputError, InputReader
from .interrupt import Cancels
from .prediction import Prediction, idle


def read_run(channel: Channel) -> Optional[Dict[str, Any]]:
    """The next ``run`` of a slot; None when the pool closed it. Raises ProtocolError on anything else."""
    message = channel.read()
    if message is not None and message.get("type") != "run":
        raise ProtocolError("a slot takes run, not {!r}".format(message.get("type")))
    return message


def open_batch(batch: Batch, reader: InputReader, cancels: Cancels) -> Tuple[List[Any], bytes]:
    """The inputs for one ``predict_batch`` call, and the frames of those who don't get that far."""
    data = b""
    for prediction in batch.predictions:
        if cancels.has(prediction.id):
            data += prediction.cancel()
        else:
            prediction.start()
    inputs, refused = batch.prepare(reader)
    return inputs, data + refused


def begin_ready(batch: Batch, inputs: List[Any], may_drop: bool, cancels: Cancels) -> Tuple[List[Any], bytes]:
    """Start the clocks of a batch whose inputs were read ahead; the inputs that still count, and the frames of those
    canceled meanwhile.

    Where the model prepared the inputs together none can be dropped; then the call goes on unless all were canceled.
    """
    data = b""
    if may_drop:
        canceled = [prediction for prediction in batch.running if cancels.has(prediction.id)]
        for prediction in canceled:
            data += prediction.cancel()
        inputs = batch.without(canceled, inputs)
    for prediction in batch.running:
        prediction.start()
    return inputs, data


def close_run(
    channel: Channel, message: Dict[str, Any], predictions: List[Prediction], data: bytes, cancels: Cancels, memory: Any
) -> None:
    """Send the last frames of a run and ``idle``, in one piece; its cancellations are forgotten. ``memory`` is what it
    took, or None."""
    channel.send(data + idle(message.get("batch"), memory))
    for prediction in predictions:
        cancels.forget(prediction.id)


class Ending:
    """What a call that raised comes to; ``canceled`` says that it raised because it was asked to stop."""

    __slots__ = ("_failure", "_canceled")

    def __init__(self, failure: Optional[BaseException], canceled: bool) -> None:
        self._failure = failure
        self._canceled = canceled

    @property
    def traceback(self) -> str:
        """What the prediction's log ends with: nothing where it is not the model that failed."""
        failure = self._failure
        return "" if failure is None or self._canceled or isinstance(failure, InputError) else traceback_text(failure)

    def of_one(self, prediction: Prediction) -> bytes:
        """The ``done`` frame of a prediction that ran by itself."""
        assert self._failure is not None
        return prediction.cancel() if self._canceled else prediction.fail(self._failure, show=False)

    def of_batch(self, batch: Batch) -> bytes:
        """The ``done`` frames of those in a call that have none yet."""
        assert self._failure is not None
        return batch.cancel() if self._canceled else batch.fail(self._failure)
