"""Frames of PROTOCOL.md over a stream socket: a 4-byte length, then a JSON object. Values over 6 MiB go by file."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from typing import Any, Callable, Dict, Optional

from .files import discard, in_scratch_dir, new_scratch_path

MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_INLINE_BYTES = 6 * 1024 * 1024
_RECEIVE_BYTES = 1 << 16
#: A character takes up to 12 bytes in a frame.
_LOG_PIECE_CHARS = 1 << 17

_length = struct.Struct(">I")


class ProtocolError(Exception):
    """The pool sent what is not a frame."""


def _refuse_constant(name: str) -> Any:
    raise ValueError("{} is not JSON".format(name))


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def make_encode(default: Optional[Callable[[Any], Any]] = None) -> Callable[[Any], str]:
    """A function that gives the JSON text of a value.

    It keeps the standard library's C encoder, which ``JSONEncoder.encode`` makes anew for each call: that is half of
    its time on small values. Where a Python has no such encoder, or another one, ``JSONEncoder`` does the work.
    """
    encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False, check_circular=False, default=default)
    text = json.encoder.encode_basestring
    try:
        make: Any = getattr(json.encoder, "c_make_encoder")
        parts = make(None, encoder.default, text, None, ":", ",", False, False, False)
        if "".join(parts(["é", 1, {"a": None}], 0)) != encoder.encode(["é", 1, {"a": None}]):
            raise TypeError("another encoder")
    except Exception:
        return encoder.encode

    def encode_value(value: Any) -> str:
        return text(value) if type(value) is str else "".join(parts(value, 0))

    return encode_value


encode = make_encode()


def _utf8(text: str) -> bytes:
    """The bytes of a text. Halves of surrogate pairs that meet become their character; a lone one, which is none,
    U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def frame(text: str) -> bytes:
    """The frame of a JSON text."""
    body = _utf8(text)
    return _length.pack(len(body)) + body


def message(**fields: Any) -> bytes:
    """The frame of an object."""
    return frame(encode(fields))


def log_frames(prediction_id: Optional[str], text: str) -> bytes:
    """The ``log`` frames of a text: several where it is too long for one."""
    starts = range(0, len(text), _LOG_PIECE_CHARS)
    return b"".join(message(type="log", id=prediction_id, text=text[start : start + _LOG_PIECE_CHARS]) for start in starts)


def json_field(name: str, text: str) -> str:
    """``"name":…`` for an object under construction, or ``"nameFile":"path"`` where the value is too large for a
    frame."""
    if len(text) * 4 <= MAX_INLINE_BYTES or len(text.encode("utf-8", "surrogatepass")) <= MAX_INLINE_BYTES:
        return '"{}":{}'.format(name, text)
    path = new_scratch_path(name + ".json")
    try:
        with open(path, "wb") as file:
            file.write(_utf8(text))
    except OSError:
        discard(path)
        raise
    return '"{}File":{}'.format(name, encode(path))


def take_json_file(path: str) -> Any:
    """The JSON value of a payload file, which is deleted. Raises ValueError when it is missing or not JSON."""
    real = os.path.realpath(path)
    if not in_scratch_dir(real):
        raise ValueError("the payload file is not in the scratch folder")
    try:
        with open(real, "rb") as file:
            body = file.read()
    except OSError as error:
        raise ValueError("the payload file can't be read: {}".format(error.strerror)) from None
    discard(real)
    return _decode(body.decode())


class Channel:
    """One end of a socket. Reading belongs to one thread; any thread may send."""

    __slots__ = ("_socket", "_left", "_lock")

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._left = b""
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def read(self) -> Optional[Dict[str, Any]]:
        """The next message, or None at the end of the stream."""
        data = self._left
        receive = self._socket.recv
        while True:
            size = len(data)
            if size >= 4:
                wanted = 4 + _length.unpack_from(data)[0]
                if wanted > MAX_FRAME_BYTES + 4:
                    raise ProtocolError("a frame of {} bytes is too large".format(wanted - 4))
                if size >= wanted:
                    self._left = data[wanted:]
                    return self._parse(data[4:wanted])
                if wanted - size > _RECEIVE_BYTES:
                    data = self._read_long(data, wanted)
                    if len(data) < wanted:
                        return None
                    continue
            try:
                more = receive(_RECEIVE_BYTES)
            except (ConnectionError, OSError):
                return None
            if not more:
                return None
            data = data + more if data else more

    def has_more(self) -> bool:
        """True when bytes of a next message were read already."""
        return bool(self._left)

    def _read_long(self, start: bytes, wanted: int) -> bytes:
        buffer = bytearray(wanted)
        buffer[: len(start)] = start
        view = memoryview(buffer)
        size = len(start)
        while size < wanted:
            try:
                count = self._socket.recv_into(view[size:])
            except (ConnectionError, OSError):
                return b""
            if count == 0:
                return b""
            size += count
        return bytes(buffer)

    @staticmethod
    def _parse(body: bytes) -> Dict[str, Any]:
        try:
            value = _decode(body.decode())
        except ValueError as error:
            raise ProtocolError("a frame is not JSON: {}".format(error)) from None
        if not isinstance(value, dict):
            raise ProtocolError("a frame is not an object")
        return value

    def send(self, data: bytes) -> None:
        """Send frames. A pool that has gone is no error here: the end of the control channel ends the process."""
        with self._lock:
            try:
                self._socket.sendall(data)
            except (ConnectionError, OSError):
                pass

    def stop_reading(self) -> None:
        """Let ``read`` give what has arrived and then None."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()
