"""What ``predict_batch`` gets and gives, apart from how it is called."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import cog
from cog._scope import BatchScope

from .failures import traceback_text
from .inputs import InputReader
from .prediction import Prediction


class BatchShapeError(TypeError):
    """``predict_batch`` gave something that does not match its inputs one to one."""


class Batch:
    """The predictions of one run that go into one call."""

    def __init__(self, predictions: List[Prediction]) -> None:
        self.predictions = predictions
        self.running: List[Prediction] = []
        self.scope: Any = None
        #: What the call returned, while a thread is to make the outputs of it: one in a tuple.
        self.result: Optional[Tuple[Any]] = None

    def prepare(self, reader: InputReader) -> Tuple[List[Any], bytes]:
        """The input objects of those whose inputs are good, and the ``done`` frames of the others."""
        inputs: List[Any] = []
        frames = b""
        for prediction in self.predictions:
            if prediction.ended:
                continue
            try:
                values: Dict[str, Any] = prediction.read_input(reader)
            except Exception as error:
                frames += prediction.fail(error, show=False)
                continue
            inputs.append(cog.BatchInput(values))
            self.running.append(prediction)
        self._share_scope()
        return inputs, frames

    def without(self, gone: List[Prediction], inputs: List[Any]) -> List[Any]:
        """Leave some out that have ended; the inputs of the others."""
        if not gone:
            return inputs
        left = [(prediction, one) for prediction, one in zip(self.running, inputs) if prediction not in gone]
        self.running = [prediction for prediction, _one in left]
        self._share_scope()
        return [one for _prediction, one in left]

    def _share_scope(self) -> None:
        scopes = [prediction.scope for prediction in self.running]
        self.scope = scopes[0] if len(scopes) == 1 else BatchScope(scopes)

    def log(self, text: str) -> None:
        """Give text to those that run: by id when one runs, else to all of them."""
        running = [prediction for prediction in self.running if not prediction.ended]
        if len(running) == 1:
            running[0].log(text)
        elif self.predictions:
            self.predictions[0].log_for_all(text)

    def log_for_all(self, text: str) -> None:
        """Give text to all that run."""
        self.log(text)

    def _match(self, values: Any, what: str, who: str) -> List[Any]:
        if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
            raise BatchShapeError("{} must {} a list, not a {}".format(who, what, type(values).__name__))
        listed = list(values)
        if len(listed) != len(self.running):
            raise BatchShapeError(
                "{} must {} one entry for each of its {} inputs, not {}".format(who, what, len(self.running), len(listed))
            )
        return listed

    def chunks(self, values: Any) -> bytes:
        """Send one step of a stream: a chunk for each input, None where there is none, an exception where one ends.

        ``StopIteration()`` in a place ends that input's stream well, any other exception fails it.
        """
        frames = b""
        for prediction, value in zip(self.running, self._match(values, "yield", "predict_batch")):
            if prediction.ended or value is None:
                continue
            if isinstance(value, StopIteration):
                frames += prediction.succeed_with_chunks()
            elif isinstance(value, BaseException):
                frames += prediction.fail(value, show=value.__traceback__ is not None)
            else:
                try:
                    prediction.chunk(value)
                except Exception as error:
                    frames += prediction.fail(error, show=False)
        return frames

    def finish_chunks(self) -> bytes:
        """The ``done`` frames of those whose streams ended with the generator."""
        return b"".join(prediction.succeed_with_chunks() for prediction in self.running if not prediction.ended)

    def finish(self, values: Any, who: str = "predict_batch") -> bytes:
        """The ``done`` frames for the list that ``who`` returned. One bad output fails only its own prediction."""
        frames = b""
        for prediction, value in zip(self.running, self._match(values, "return", who)):
            if isinstance(value, BaseException):
                frames += prediction.fail(value, show=value.__traceback__ is not None)
                continue
            try:
                frames += prediction.succeed(value)
            except Exception as error:
                frames += prediction.fail(error, show=False)
        return frames

    def fail(self, error: BaseException) -> bytes:
        """The ``done`` frames when the call itself raised: nobody knows yet whose fault it was."""
        left = [prediction for prediction in self.running if not prediction.ended]
        if left:
            self.log(traceback_text(error))
        return b"".join(prediction.fail(error, show=False, batch_error=True) for prediction in left)

    def cancel(self) -> bytes:
        """The ``done`` frames when the call was canceled, which happens when all of it was."""
        return b"".join(prediction.cancel() for prediction in self.running if not prediction.ended)
