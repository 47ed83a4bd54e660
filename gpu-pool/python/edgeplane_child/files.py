"""Files of a prediction: inputs that arrive as data URIs or paths, outputs that leave as paths.

Inputs live in the scratch folder of the process and are deleted when the prediction ends. An output that the prediction wrote
itself is handed over in the scratch folder, so that the next prediction can write to the same name while it is uploaded.
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import mimetypes
import os
import shutil
import tempfile
import urllib.parse
from typing import Any, Dict, List

import cog

_counter = itertools.count(1)
_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "application/octet-stream": ".bin",
}
_MEDIA_TYPES = {".webp": "image/webp", ".jsonl": "application/jsonl", ".md": "text/markdown", ".npy": "application/octet-stream"}
_CLOCK_SLACK_NS = 50_000_000


class FileProblem(ValueError):
    """A file that can't be taken or given; the message says why."""


_scratch = os.path.realpath(os.environ.get("EDGEPLANE_SCRATCH_DIR") or tempfile.mkdtemp(prefix="edgeplane-"))


def scratch_dir() -> str:
    """The folder of this process for files of predictions, as it was when the process began: a model may change its environment."""
    return _scratch


def in_scratch_dir(path: str) -> bool:
    """True for a real path below that folder."""
    return path.startswith(_scratch + os.sep)


def new_scratch_path(name: str) -> str:
    """A path in the scratch folder that nobody uses; it keeps ``name`` as its last part."""
    folder = os.path.join(scratch_dir(), "{}-{}".format(os.getpid(), next(_counter)))
    os.makedirs(folder, mode=0o700)
    return os.path.join(folder, name)


def media_type_of(name: str) -> str:
    """The media type that a file's name tells."""
    extension = os.path.splitext(name)[1].lower()
    return _MEDIA_TYPES.get(extension) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _decode_data_uri(uri: str) -> str:
    head, comma, data = uri[5:].partition(",")
    if not comma:
        raise FileProblem("is not a data URI: the comma before the data is missing")
    parts = head.split(";")
    media_type = parts[0].strip().lower() or "text/plain"
    if parts[-1].strip().lower() == "base64":
        try:
            content = base64.b64decode(urllib.parse.unquote(data) if "%" in data else data, validate=True)
        except (binascii.Error, ValueError):
            raise FileProblem("is not a data URI: its data is not base64") from None
    else:
        content = urllib.parse.unquote_to_bytes(data)
    extension = _EXTENSIONS.get(media_type) or mimetypes.guess_extension(media_type) or ""
    path = new_scratch_path("file" + extension)
    with open(path, "wb") as file:
        file.write(content)
    return path


class InputFiles:
    """The input files of one prediction."""

    __slots__ = ("_made", "_opened")

    def __init__(self) -> None:
        self._made: List[str] = []
        self._opened: List[Any] = []

    def path(self, value: str) -> Any:
        """The path of an input file: a data URI is written down, an absolute path must lie in the scratch folder."""
        if value[:5].lower() == "data:":
            path = _decode_data_uri(value)
            self._made.append(path)
            return cog.Path(path)
        if not value.startswith("/"):
            raise FileProblem("must be a data URI or a file that was fetched for the prediction")
        real = os.path.realpath(value)
        if not in_scratch_dir(real):
            raise FileProblem("must be a data URI or a file that was fetched for the prediction")
        if not os.path.isfile(real):
            raise FileProblem("the file is missing")
        self._made.append(real)
        return cog.Path(real)

    def open(self, path: Any) -> Any:
        """An input file as a handle."""
        handle = open(path, "rb")  # noqa: SIM115 - closed with the prediction
        self._opened.append(handle)
        return handle

    def close(self) -> None:
        """Close and delete everything."""
        for handle in self._opened:
            try:
                handle.close()
            except Exception:
                pass
        for path in self._made:
            discard(path)
        self._opened = []
        self._made = []


def discard(path: str) -> None:
    """Delete a file of the scratch folder, and its folder when that was made for it."""
    try:
        os.unlink(path)
    except OSError:
        pass
    folder = os.path.dirname(path)
    if os.path.dirname(folder) == scratch_dir():
        try:
            os.rmdir(folder)
        except OSError:
            pass


def give_path(value: Any, since_ns: int) -> Dict[str, Any]:
    """An output path as PROTOCOL.md wants it. What was written after ``since_ns`` moves to the scratch folder."""
    path = os.path.abspath(os.fspath(value))
    name = os.path.basename(path)
    try:
        info = os.stat(path)
    except OSError:
        raise FileProblem("the output file {} does not exist".format(path)) from None
    if not os.path.isfile(path):
        raise FileProblem("the output {} is not a file".format(path))
    if info.st_ctime_ns + _CLOCK_SLACK_NS >= since_ns and not in_scratch_dir(path):
        path = _take(path, name)
    return {"$file": path, "mediaType": media_type_of(name)}


def _take(path: str, name: str) -> str:
    target = new_scratch_path(name)
    temporary = os.path.realpath(tempfile.gettempdir()) + os.sep
    if os.path.realpath(path).startswith(temporary) and not os.path.islink(path):
        try:
            os.rename(path, target)
            return target
        except OSError:
            pass
    shutil.copyfile(path, target)
    return target


def give_handle(handle: Any) -> Dict[str, Any]:
    """An output file handle, written to the scratch folder."""
    name = getattr(handle, "name", None)
    name = os.path.basename(name) if isinstance(name, str) and name else ""
    try:
        if handle.seekable():
            handle.seek(0)
        first = handle.read(1 << 20)
    except (ValueError, OSError, io.UnsupportedOperation) as error:
        raise FileProblem("the output file handle can't be read: {}".format(error)) from None
    text = isinstance(first, str)
    path = new_scratch_path(name or ("output.txt" if text else "output.bin"))
    with open(path, "w", encoding="utf-8", newline="") if text else open(path, "wb") as out:
        while first:
            out.write(first)
            first = handle.read(1 << 20)
    return {"$file": path, "mediaType": media_type_of(path)}
