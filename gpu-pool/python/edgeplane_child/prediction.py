"""One prediction of a run: its frames, its scope, its files.

State: *prepared* → started → chunks, logs, metrics → one ``done`` (succeeded, failed or canceled). The frames of an end
are returned, so that they leave in one send with what follows them; everything before goes out at once.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

from cog._scope import Scope

from .failures import device_error, disk_full, error_message, traceback_text
from .files import InputFiles
from .frames import Channel, encode, frame, json_field, log_frames, message, take_json_file
from .inputs import InputError, InputReader

_METRICS_EVERY_S = 0.25
_LARGEST_METRICS = 1 << 20

Encode = Callable[[Any, int], str]


class Prediction:
    """What one item of a ``run`` needs from its start to its ``done``."""

    __slots__ = (
        "id",
        "scope",
        "files",
        "stream",
        "ended",
        "_id_json",
        "_item",
        "_channel",
        "_encode",
        "_started",
        "_started_ns",
        "_chunks",
        "_metrics_due",
        "_metrics_changed",
        "_send",
    )

    def __init__(self, item: Dict[str, Any], channel: Channel, to_json: Encode, send: Optional[Callable[[bytes], None]] = None) -> None:
        self.id: str = item["id"]
        self._id_json = encode(self.id)
        self.stream = bool(item.get("stream"))
        context = item.get("context")
        self.scope = Scope(context if isinstance(context, dict) else {}, self._metric_changed)
        self.files = InputFiles()
        self.ended = False
        self._item: Optional[Dict[str, Any]] = item
        self._channel = channel
        self._encode = to_json
        self._started = 0.0
        self._started_ns = 0
        self._chunks: List[str] = []
        self._metrics_due = 0.0
        self._metrics_changed = False
        self._send = send or channel.send

    def start(self) -> None:
        """The clock of the prediction begins."""
        self._started = time.perf_counter()
        self._started_ns = time.time_ns()

    def started(self) -> bytes:
        """The ``started`` frame, for a run whose items begin one after another."""
        return frame('{"type":"started","id":%s}' % self._id_json)

    def read_input(self, reader: InputReader) -> Dict[str, Any]:
        """The arguments for the run method, once. Raises ValueError, and OSError where a disk takes no more. The log
        says where a file is not what it claims to be."""
        try:
            return reader.read(self._take_input(), self.files)
        finally:
            for place, said in self.files.lies:
                self._send(message(type="log", id=self.id, text="edgeplane: input {} {}\n".format(place, said)))

    def _take_input(self) -> Any:
        """The raw input: it is not kept."""
        item, self._item = self._item or {}, None
        if "inputFile" in item:
            return take_json_file(item["inputFile"])
        return item.get("input", {})

    def log(self, text: str) -> None:
        """Send what this prediction printed."""
        self._channel.send(log_frames(self.id, text))

    def log_for_all(self, text: str) -> None:
        """Send what can't be told apart: it belongs to every item that runs in the slot."""
        self._channel.send(log_frames(None, text))

    def chunk(self, value: Any) -> None:
        """Send what its iterator yielded."""
        text = self._encode(value, self._started_ns)
        self._chunks.append(text)
        self._send(self._metrics() + frame('{"type":"output","id":%s,%s}' % (self._id_json, json_field("chunk", text))))

    def succeed(self, output: Any) -> bytes:
        """The ``done`` frame for what the run method returned. Raises when that can't be sent."""
        return self._succeeded(self._encode(output, self._started_ns))

    def succeed_with_chunks(self) -> bytes:
        """The ``done`` frame of an iterator: the list of all its chunks."""
        return self._succeeded("[" + ",".join(self._chunks) + "]")

    def _succeeded(self, text: str) -> bytes:
        field = json_field("output", text)
        return self._end('{"type":"done","id":%s,"status":"succeeded",%s,"seconds":%s}', field)

    def fail(self, error: BaseException, show: bool = True, batch_error: bool = False) -> bytes:
        """The ``done`` frame of a failure; its traceback goes to the log when ``show`` is set."""
        if show:
            self.log(traceback_text(error))
        field = '"error":' + encode(error_message(error))
        if batch_error:
            field += ',"batchError":true'
        if isinstance(error, InputError):
            field += ',"invalidInput":true'
        broken = device_error(error)
        if broken is not None:
            field += ',"deviceError":' + encode(broken)
        if disk_full(error):
            field += ',"diskFull":true'
        return self._end('{"type":"done","id":%s,"status":"failed",%s,"seconds":%s}', field)

    def cancel(self) -> bytes:
        """The ``done`` frame of a cancellation."""
        return self._end('{"type":"done","id":%s,"status":"canceled",%s,"seconds":%s}', '"error":null')

    def _end(self, form: str, field: str) -> bytes:
        self.ended = True
        seconds = time.perf_counter() - self._started if self._started else 0.0
        data = self._metrics() + frame(form % (self._id_json, field, repr(round(seconds, 6))))
        self.files.close()
        self._chunks = []
        self._item = None
        return data

    def _metric_changed(self) -> None:
        self._metrics_changed = True
        # Before its run begins nothing of it is told.
        if self._started and time.perf_counter() >= self._metrics_due and not self.ended:
            data = self._metrics()
            if data:
                self._send(data)

    def _metrics(self) -> bytes:
        if not self._metrics_changed:
            return b""
        self._metrics_changed = False
        self._metrics_due = time.perf_counter() + _METRICS_EVERY_S
        text = self.scope.metrics.to_json()
        if len(text) > _LARGEST_METRICS:
            self.log("edgeplane: the metrics are larger than 1 MiB and were left out\n")
            return b""
        return frame('{"type":"metric","id":%s,"metrics":%s}' % (self._id_json, text))


def begun(batch: Any) -> bytes:
    """The frame that says that a run begins, which may have waited behind another."""
    return frame('{"type":"begun","batch":%s}' % encode(batch))


def called(batch: Any) -> bytes:
    """The frame that says that the model's call is over, and that the next run may begin beside what is left of this
    one."""
    return frame('{"type":"called","batch":%s}' % encode(batch))


def idle(batch: Any, memory: Any) -> bytes:
    """The frame that says that the slot is free, and what the run took of memory."""
    return frame('{"type":"idle","batch":%s,"memory":%s}' % (encode(batch), encode(memory)))
