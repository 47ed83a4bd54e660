"""Files of a prediction: inputs that arrive as data URIs or paths, outputs that leave as paths.

Inputs live in the scratch folder of the process and are deleted when the prediction ends. An output that the prediction
wrote itself is handed over in the scratch folder, so that the next prediction can write to the same name while it is
uploaded.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import mimetypes
import os
import shutil
import tempfile
from typing import Any, Dict, Iterator, List, Set, Tuple

import cog

from .data_uris import NotADataUri, is_data_uri, read_data_uri
from .file_kinds import HEAD_BYTES, kind_of

_counter = itertools.count(1)
_MEDIA_TYPES = {".webp": "image/webp", ".jsonl": "application/jsonl", ".md": "text/markdown", ".npy": "application/octet-stream"}
_CLOCK_SLACK_NS = 50_000_000
#: The input files of the predictions that run. They are deleted with them: a model that gives one back gives a copy.
_inputs: Set[str] = set()


class FileProblem(ValueError):
    """A file that can't be taken or given; the message says why."""


_scratch = os.path.realpath(os.environ.get("EDGEPLANE_SCRATCH_DIR") or tempfile.mkdtemp(prefix="edgeplane-"))


#: What tells the pool that a ``$file`` is this process's word, and not one of a client that the model gave back. A
#: model doesn't see it.
_MARK = os.environ.pop("EDGEPLANE_FILE_MARK", "")


def scratch_dir() -> str:
    """The folder of this process for files of predictions, as it was when the process began: a model may change its
    environment."""
    return _scratch


#: The process sees files that the pool doesn't: what it gives must lie in the scratch folder.
_isolated = os.environ.get("EDGEPLANE_ISOLATED") == "1"
#: Of a process that is isolated: where its temporary files lie, which it may also see as ``/tmp``.
_temporary = os.path.join(_scratch, "tmp")


def in_scratch_dir(path: str) -> bool:
    """True for a real path below that folder, but for the temporary files there, which are the model's."""
    return path.startswith(_scratch + os.sep) and not path.startswith(_temporary + os.sep)


def new_scratch_path(name: str) -> str:
    """A path in the scratch folder that nobody uses; it keeps ``name`` as its last part."""
    folder = os.path.join(scratch_dir(), "{}-{}".format(os.getpid(), next(_counter)))
    os.makedirs(folder, mode=0o700)
    return os.path.join(folder, name)


def media_type_of(name: str) -> str:
    """The media type that a file's name tells."""
    extension = os.path.splitext(name)[1].lower()
    return _MEDIA_TYPES.get(extension) or mimetypes.guess_type(name)[0] or "application/octet-stream"


class InputFiles:
    """The input files of one prediction."""

    __slots__ = ("lies", "_made", "_opened")

    def __init__(self) -> None:
        #: Where in the input a data URI is not what it claims to be, and what is to be said of it.
        self.lies: List[Tuple[str, str]] = []
        self._made: List[str] = []
        self._opened: List[Any] = []

    def path(self, value: str) -> Any:
        """The path of an input file: a data URI is written down, an absolute path must lie in the scratch folder."""
        if is_data_uri(value):
            return cog.Path(self._write_down(value))
        if not value.startswith("/"):
            raise FileProblem("must be a data URI or a file that was fetched for the prediction")
        real = os.path.realpath(value)
        if not in_scratch_dir(real):
            raise FileProblem("must be a data URI or a file that was fetched for the prediction")
        if not os.path.isfile(real):
            raise FileProblem("the file is missing")
        if not os.path.splitext(real)[1]:
            real = _with_extension(real)
        self._keep(real)
        return cog.Path(real)

    def _keep(self, path: str) -> None:
        self._made.append(path)
        _inputs.add(path)

    def _write_down(self, uri: str) -> str:
        try:
            data = read_data_uri(uri)
        except NotADataUri as error:
            raise FileProblem(str(error)) from None
        with _whole("file" + data.extension) as path:
            with open(path, "wb") as file:
                file.write(data.content)
        self._keep(path)
        if data.lie is not None:
            self.lies.append(("", "{}; the model gets it as {}".format(data.lie, os.path.basename(path))))
        return path

    def locate(self, told: int, place: str) -> None:
        """Say where in the input those lies are that came after the first ``told`` ones."""
        if len(self.lies) > told:
            self.lies[told:] = [(place + inner, said) for inner, said in self.lies[told:]]

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
            _inputs.discard(path)
            discard(path)
        self._opened = []
        self._made = []


def _with_extension(path: str) -> str:
    """The file under a name that ends as its kind does, for one whose URL told none. Where its bytes tell none either,
    it stays as it is."""
    with open(path, "rb") as file:
        kind = kind_of(file.read(HEAD_BYTES))
    if kind is None:
        return path
    os.replace(path, path + kind.extension)
    return path + kind.extension


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


@contextlib.contextmanager
def _whole(name: str) -> Iterator[str]:
    """A new path in the scratch folder. A file that stays half written is deleted: a disk refuses the rest, or the
    prediction is canceled."""
    path = new_scratch_path(name)
    try:
        yield path
    except BaseException:
        discard(path)
        raise


def give_path(value: Any, since_ns: int, made: List[str]) -> Dict[str, Any]:
    """An output path as PROTOCOL.md wants it. A file that was written after ``since_ns`` moves to the scratch folder,
    and is noted in ``made``."""
    path = os.path.abspath(os.fspath(value))
    readable = _readable(path)
    name = os.path.basename(readable)
    try:
        info = os.stat(path)
    except OSError:
        raise FileProblem("the output file {} does not exist".format(path)) from None
    if not os.path.isfile(path):
        raise FileProblem("the output {} is not a file".format(path))
    if os.path.realpath(path) in _inputs:
        with _whole(name) as target:
            path = shutil.copyfile(path, target)
        made.append(path)
        return _given(path, media_type_of(name))
    is_new = info.st_ctime_ns + _CLOCK_SLACK_NS >= since_ns
    if readable != path or (not in_scratch_dir(path) and (_isolated or is_new)):
        path = _take(_own_temporary(path), name, is_new)
        made.append(path)
    return _given(path, media_type_of(name))


def _readable(path: str) -> str:
    """The path as a frame can carry it: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _given(path: str, media_type: str) -> Dict[str, Any]:
    return {"$file": path, "mediaType": media_type, "mark": _MARK}


def _own_temporary(path: str) -> str:
    """The same file below the scratch folder, from where it can be moved at no cost."""
    if not _isolated or not path.startswith("/tmp/"):
        return path
    other = os.path.join(_temporary, path[len("/tmp/") :])
    return other if os.path.exists(other) and os.path.samefile(path, other) else path


def _take(path: str, name: str, is_new: bool) -> str:
    temporary = os.path.realpath(tempfile.gettempdir()) + os.sep
    with _whole(name) as target:
        if is_new and os.path.realpath(path).startswith(temporary) and not os.path.islink(path):
            return str(shutil.move(path, target))
        shutil.copyfile(path, target)
        return target


def give_handle(handle: Any, made: List[str]) -> Dict[str, Any]:
    """An output file handle, written to the scratch folder and noted in ``made``."""
    name = getattr(handle, "name", None)
    name = _readable(os.path.basename(name)) if isinstance(name, str) and name else ""
    try:
        if handle.seekable():
            handle.seek(0)
        first = handle.read(1 << 20)
    except (ValueError, OSError, io.UnsupportedOperation) as error:
        raise FileProblem("the output file handle can't be read: {}".format(error)) from None
    text = isinstance(first, str)
    with _whole(name or ("output.txt" if text else "output.bin")) as path:
        with open(path, "w", encoding="utf-8", newline="") if text else open(path, "wb") as out:
            while first:
                out.write(first)
                first = handle.read(1 << 20)
    made.append(path)
    return _given(path, media_type_of(path))
