"""Runs predictions of a synchronous model in the main thread: read a run, run its items, say idle.

State of a slot: idle → running (one run) → idle. All slots share the main thread; a synchronous model has one. With
``ahead`` a thread reads the next run meanwhile, and another makes the outputs of the one before ready.
"""

from __future__ import annotations

import os
import select
from typing import Any, Dict, Iterator, List, Optional

import cog
from cog._scope import only_scope

from .ahead import ReadyRun, RunsAhead
from .batches import Batch
from .behind import CalledRun, RunBehind
from .device_memory import RunMemory
from .frames import Channel
from .inputs import InputReader
from .interrupt import Cancels, Interrupter
from .loader import Model
from .logs import LogPump
from .outputs import make_encoder
from .prediction import Prediction, begun
from .runs import Ending, begin_ready, close_run, open_batch, read_run


class SyncSlots:
    """The slots of a model whose run method is a plain function or generator."""

    def __init__(
        self, model: Model, channels: List[Channel], pump: LogPump, cancels: Cancels, interrupter: Interrupter, ahead: bool
    ) -> None:
        self._model = model
        self._channels = channels
        self._pump = pump
        self._cancels = cancels
        self._interrupter = interrupter
        self._reader = InputReader(model.signature)
        self._encode = make_encoder()
        self._streams = model.streams != "no"
        self._sends = {channel: self._send_masked(channel) for channel in channels}
        self._pid = os.getpid()
        self._ahead = ahead
        self._behind: Optional[RunBehind] = None
        if ahead and model.postprocess is not None:
            self._behind = RunBehind(channels[0], model.postprocess, cancels)
        self._memory = RunMemory()
        self._running: List[str] = []

    @property
    def running(self) -> List[str]:
        """The ids that run."""
        return self._running + ([] if self._behind is None else self._behind.ids)

    def serve(self) -> None:
        """Take runs until the slots are closed."""
        if self._ahead:
            return self._serve_ahead(self._channels[0])
        for channel in self._ready():
            message = read_run(channel)
            if message is None:
                return
            self._run(channel, message)
            message = None

    def _serve_ahead(self, channel: Channel) -> None:
        runs = RunsAhead(channel, self._model, self._reader, self._encode, self._sends[channel])
        while True:
            ready = runs.next()
            if ready is None:
                if self._behind is not None:
                    self._behind.wait()
                return
            self._running = [prediction.id for prediction in ready.predictions]
            channel.send(begun(ready.message.get("batch")))
            data = self._run_items(channel, ready.predictions) if ready.batch is None else self._run_ready(channel, ready, ready.batch)
            if self._behind is not None and ready.batch is not None and ready.batch.result is not None:
                result, ready.batch.result = ready.batch.result, None
                self._behind.give(CalledRun(ready.message, ready.predictions, ready.batch, result[0], data, self._memory.over()))
                result = None
            else:
                close_run(channel, ready.message, ready.predictions, data, self._cancels, self._memory.over())
            self._running = []
            ready = None

    def _ready(self) -> Iterator[Channel]:
        if len(self._channels) == 1:
            while True:
                yield self._channels[0]
        poll = select.poll()
        by_fd = {channel.fileno(): channel for channel in self._channels}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _event in poll.poll():
                yield by_fd[fd]
                while by_fd[fd].has_more():
                    yield by_fd[fd]

    def _run(self, channel: Channel, message: Dict[str, Any]) -> None:
        items = message["items"]
        self._running = [item["id"] for item in items]
        send = self._sends[channel]
        predictions = [Prediction(item, channel, self._encode, send) for item in items]
        if self._model.batch is not None:
            data = self._run_batch(channel, Batch(predictions))
        else:
            data = self._run_items(channel, predictions)
        close_run(channel, message, predictions, data, self._cancels, self._memory.over())
        self._running = []

    def _run_items(self, channel: Channel, predictions: List[Prediction]) -> bytes:
        data = b""
        several = len(predictions) > 1
        for prediction in predictions:
            data = self._run_one(channel, prediction, data, several)
        return data

    def _send_masked(self, channel: Channel) -> Any:
        interrupter = self._interrupter

        def send(data: bytes) -> None:
            if not interrupter.on_main:
                channel.send(data)
                return
            interrupter.mask()
            channel.send(data)
            interrupter.unmask()

        return send

    def _run_one(self, channel: Channel, prediction: Prediction, before: bytes, announce: bool) -> bytes:
        if self._cancels.has(prediction.id):
            return before + prediction.cancel()
        prediction.start()
        if announce:
            channel.send(before + prediction.started())
        self._pump.begin(prediction.log)
        only_scope[0] = prediction.scope
        failure: Optional[BaseException] = None
        done = b""
        try:
            try:
                self._interrupter.aim(prediction.id)
                values = prediction.read_input(self._reader)
                done = self._call(prediction, values)
            finally:
                self._interrupter.off()
        except BaseException as error:
            failure = error
        self._leave_if_forked(failure)
        only_scope[0] = None
        ending = Ending(failure, isinstance(failure, cog.CancelationException))
        self._pump.end_with(ending.traceback)
        return done if failure is None else ending.of_one(prediction)

    def _call(self, prediction: Prediction, values: Dict[str, Any]) -> bytes:
        result = self._model.run(**values)
        if self._streams or hasattr(result, "__next__"):
            if result is not None:
                for chunk in result:
                    prediction.chunk(chunk)
            self._interrupter.off()
            return prediction.succeed_with_chunks()
        self._interrupter.off()
        return prediction.succeed(result)

    def _run_batch(self, channel: Channel, batch: Batch) -> bytes:
        inputs, data = open_batch(batch, self._reader, self._cancels)
        return self._call_all(channel, batch, inputs, data)

    def _run_ready(self, channel: Channel, ready: ReadyRun, batch: Batch) -> bytes:
        inputs, data = begin_ready(batch, ready.inputs, self._model.prepare is None, self._cancels)
        data = ready.refused + data
        if ready.failure is not None:
            return data + Ending(ready.failure, False).of_batch(batch)
        return self._call_all(channel, batch, inputs, data, None if self._model.prepare is None else ready)

    def _call_all(self, channel: Channel, batch: Batch, inputs: List[Any], data: bytes, ready: Optional[ReadyRun] = None) -> bytes:
        """Call the model with those of a batch that run; ``ready`` has what it prepared of them before."""
        if not inputs:
            return data
        if data:
            channel.send(data)
        self._pump.begin(batch.log)
        only_scope[0] = batch.scope
        failure: Optional[BaseException] = None
        done = b""
        try:
            try:
                self._interrupter.aim(*[prediction.id for prediction in batch.running])
                done = self._call_batch(channel, batch, inputs, ready)
            finally:
                self._interrupter.off()
        except BaseException as error:
            failure = error
        self._leave_if_forked(failure)
        only_scope[0] = None
        self._pump.end()
        return done if failure is None else Ending(failure, isinstance(failure, cog.CancelationException)).of_batch(batch)

    def _call_batch(self, channel: Channel, batch: Batch, inputs: List[Any], ready: Optional[ReadyRun]) -> bytes:
        assert self._model.batch is not None
        prepared: Any = inputs
        if ready is not None:
            prepared = ready.prepared
        elif self._model.prepare is not None:
            prepared = self._model.prepare(inputs)
        result = self._model.batch(prepared)
        if self._model.postprocess is not None:
            return self._postprocess(batch, result)
        if not hasattr(result, "__next__"):
            self._interrupter.off()
            return batch.finish(result)
        for values in result:
            self._interrupter.mask()
            ended = batch.chunks(values)
            if ended:
                channel.send(ended)
            self._interrupter.unmask()
        self._interrupter.off()
        return batch.finish_chunks()

    def _postprocess(self, batch: Batch, result: Any) -> bytes:
        """What the model makes of a call's result; where a thread does that, it is kept for it."""
        assert self._model.postprocess is not None
        if self._behind is not None:
            self._interrupter.off()
            batch.result = (result,)
            return b""
        outputs = self._model.postprocess(result)
        self._interrupter.off()
        return batch.finish(outputs, "postprocess_batch")

    def _leave_if_forked(self, failure: Optional[BaseException]) -> None:
        """A process that the model forked and that came back here must not answer for this one."""
        if os.getpid() != self._pid:
            os._exit(0 if failure is None else 1)
