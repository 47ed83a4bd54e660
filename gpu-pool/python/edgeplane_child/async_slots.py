"""Runs predictions of an asynchronous model: one event loop, one task a run, as many runs at once as there are slots.

State of a slot: idle → running (one task) → idle. With several slots, what Python prints is told apart by task; what C
code or a subprocess prints while several predictions run belongs to all of them.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

from cog._scope import only_scope, task_scope

from .batches import Batch
from .device_memory import RunMemory
from .frames import Channel
from .inputs import InputReader
from .interrupt import Cancels
from .loader import Model
from .logs import LONGEST_LINE, LogPump
from .outputs import make_encoder
from .prediction import Prediction
from .runs import Ending, close_run, open_batch, read_run


def _give_all(active: List[Tuple[Any, Any]], text: str) -> None:
    for key, _sink in active:
        key.log_for_all(text)


class _TaskStream(io.TextIOBase):
    """Standard output by task: whole lines go to the prediction that prints, the rest to the stream underneath."""

    def __init__(self, under: Any, sinks: Dict[Any, Callable[[str], None]]) -> None:
        self._under = under
        self._sinks = sinks
        self._partial: Dict[Any, str] = {}

    def write(self, text: str) -> int:
        """Take text as a text stream does."""
        scope = task_scope.get()
        sink = self._sinks.get(scope) if scope is not None else None
        if sink is None:
            return int(self._under.write(text))
        whole = self._partial.pop(scope, "") + str(text)
        end = max(whole.rfind("\n"), whole.rfind("\r")) + 1
        if end == 0 and len(whole) > LONGEST_LINE:
            end = len(whole)
        if end < len(whole):
            self._partial[scope] = whole[end:]
        if end:
            sink(whole[:end])
        return len(text)

    def finish(self, scope: Any) -> None:
        """Give what is left of a scope's last line."""
        left = self._partial.pop(scope, "")
        sink = self._sinks.get(scope)
        if left and sink is not None:
            sink(left)

    def flush(self) -> None:
        """Flush the stream underneath."""
        self._under.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

    def fileno(self) -> int:
        """The descriptor underneath."""
        return int(self._under.fileno())

    def isatty(self) -> bool:
        """Never a terminal."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True


class AsyncSlots:
    """The slots of a model whose run method is ``async def``."""

    def __init__(
        self, model: Model, channels: List[Channel], pump: LogPump, cancels: Cancels, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._model = model
        self._channels = channels
        self._pump = pump
        self._cancels = cancels
        self._loop = loop
        self._reader = InputReader(model.signature)
        self._encode = make_encoder()
        self._pid = os.getpid()
        self._tasks: Dict[str, "asyncio.Task[Any]"] = {}
        self._sinks: Dict[Any, Callable[[str], None]] = {}
        self._streams: List[_TaskStream] = []
        self._active: Dict[Any, Any] = {}
        # Of runs that go on at once nobody can tell which took what.
        self._memory = RunMemory() if len(channels) == 1 else None

    @property
    def running(self) -> List[str]:
        """The ids that run."""
        return list(self._tasks)

    def serve(self) -> None:
        """Take runs until the slots are closed."""
        if len(self._channels) > 1:
            for name in ("stdout", "stderr"):
                stream = _TaskStream(getattr(sys, name), self._sinks)
                self._streams.append(stream)
                setattr(sys, name, stream)
        self._loop.run_until_complete(self._serve_all())

    def cancel(self, prediction_id: str) -> None:
        """Cancel a prediction; from any thread."""
        self._loop.call_soon_threadsafe(self._cancel, prediction_id)

    def _cancel(self, prediction_id: str) -> None:
        task = self._tasks.get(prediction_id)
        if task is not None and not getattr(task, "edgeplane_batch", False):
            task.cancel()
        elif task is not None and self._cancels.has_all(one for one, other in self._tasks.items() if other is task):
            task.cancel()

    async def _serve_all(self) -> None:
        await asyncio.gather(*[self._serve(channel) for channel in self._channels])

    async def _serve(self, channel: Channel) -> None:
        while True:
            if not channel.has_more():
                await self._readable(channel)
            message = read_run(channel)
            if message is None:
                return
            await self._run(channel, message)
            message = None

    async def _readable(self, channel: Channel) -> None:
        ready = self._loop.create_future()

        def wake() -> None:
            self._loop.remove_reader(channel.fileno())
            if not ready.done():
                ready.set_result(None)

        self._loop.add_reader(channel.fileno(), wake)
        await ready

    async def _run(self, channel: Channel, message: Dict[str, Any]) -> None:
        predictions = [Prediction(item, channel, self._encode) for item in message["items"]]
        if self._model.batch is not None:
            data = await self._run_batch(channel, Batch(predictions))
        else:
            data = b""
            several = len(predictions) > 1
            for prediction in predictions:
                data = await self._run_one(channel, prediction, data, several)
        memory = None if self._memory is None else self._memory.over()
        close_run(channel, message, predictions, data, self._cancels, memory)

    def _enter(self, key: Any, scope: Any, sink: Callable[[str], None]) -> None:
        if len(self._channels) == 1:
            only_scope[0] = scope
            self._pump.begin(sink)
            return
        self._sinks[scope] = sink
        self._active[key] = sink
        self._aim_pump()

    def _aim_pump(self) -> None:
        """C code and subprocesses print to the one that runs, else to all that run."""
        active = list(self._active.items())
        if not active:
            self._pump.end()
        elif len(active) == 1:
            self._pump.begin(active[0][1])
        else:
            self._pump.begin(lambda text: _give_all(active, text))

    def _leave(self, key: Any, scope: Any, text: str) -> None:
        if os.getpid() != self._pid:
            os._exit(0)
        if len(self._channels) == 1:
            only_scope[0] = None
            self._pump.end_with(text)
            return
        for stream in self._streams:
            stream.finish(scope)
        if text:
            self._sinks[scope](text)
        self._pump.settle()
        self._sinks.pop(scope, None)
        self._active.pop(key, None)
        self._aim_pump()

    async def _guarded(self, ids: List[str], scope: Any, work: Any, batch: bool) -> Optional[BaseException]:
        """Run the work in a task of its own, so that a cancellation ends it and nothing else."""

        async def scoped() -> Any:
            if len(self._channels) > 1:
                task_scope.set(scope)
            await work

        async def caught() -> Optional[BaseException]:
            try:
                await scoped()
            except BaseException as error:
                return error
            return None

        task = self._loop.create_task(caught())
        setattr(task, "edgeplane_batch", batch)
        for one in ids:
            self._tasks[one] = task
        try:
            if self._cancels.has_all(ids):
                task.cancel()
            return await task
        except asyncio.CancelledError as error:
            work.close()
            return error
        finally:
            for one in ids:
                self._tasks.pop(one, None)

    async def _run_one(self, channel: Channel, prediction: Prediction, before: bytes, announce: bool) -> bytes:
        if self._cancels.has(prediction.id):
            return before + prediction.cancel()
        prediction.start()
        if announce:
            channel.send(before + prediction.started())
        self._enter(prediction, prediction.scope, prediction.log)
        done: List[bytes] = []
        failure = await self._guarded([prediction.id], prediction.scope, self._call(prediction, done), False)
        ending = Ending(failure, isinstance(failure, asyncio.CancelledError) and self._cancels.has(prediction.id))
        self._leave(prediction, prediction.scope, ending.traceback)
        return done[0] if failure is None else ending.of_one(prediction)

    async def _call(self, prediction: Prediction, done: List[bytes]) -> None:
        values = prediction.read_input(self._reader)
        result = self._model.run(**values)
        if inspect.isawaitable(result):
            result = await result
        if hasattr(result, "__aiter__"):
            async for chunk in result:
                prediction.chunk(chunk)
            done.append(prediction.succeed_with_chunks())
        elif hasattr(result, "__next__"):
            for chunk in result:
                prediction.chunk(chunk)
            done.append(prediction.succeed_with_chunks())
        else:
            done.append(prediction.succeed(result))

    async def _run_batch(self, channel: Channel, batch: Batch) -> bytes:
        inputs, data = open_batch(batch, self._reader, self._cancels)
        if not inputs:
            return data
        if data:
            channel.send(data)
        self._enter(batch, batch.scope, batch.log)
        done: List[bytes] = []
        ids = [prediction.id for prediction in batch.running]
        failure = await self._guarded(ids, batch.scope, self._call_batch(channel, batch, inputs, done), True)
        self._leave(batch, batch.scope, "")
        if failure is None:
            return b"".join(done)
        return Ending(failure, isinstance(failure, asyncio.CancelledError) and self._cancels.has_all(ids)).of_batch(batch)

    async def _call_batch(self, channel: Channel, batch: Batch, inputs: List[Any], done: List[bytes]) -> None:
        assert self._model.batch is not None
        result = self._model.batch(inputs)
        if inspect.isawaitable(result):
            result = await result
        if hasattr(result, "__aiter__"):
            async for values in result:
                channel.send(batch.chunks(values))
            done.append(batch.finish_chunks())
        elif hasattr(result, "__next__"):
            for values in result:
                channel.send(batch.chunks(values))
            done.append(batch.finish_chunks())
        else:
            done.append(batch.finish(result))
