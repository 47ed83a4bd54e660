"""Captures what is printed, at the level of descriptors 1 and 2, and gives it to the prediction that runs.

Both descriptors are one pipe, so that lines of Python, C code and subprocesses keep their order. A thread reads it; the
thread that runs predictions drains it when one begins and ends, under the same lock, so that each line belongs to
whoever ran while it was printed. Where nothing was printed this costs one failed read.
"""

from __future__ import annotations

import codecs
import ctypes
import fcntl
import io
import os
import select
import sys
import threading
from typing import Any, Callable, List, NoReturn, Optional

Sink = Callable[[str], None]

_READ_BYTES = 1 << 16
#: What is printed without an end of line goes on its way from so many characters on.
LONGEST_LINE = 1 << 16
_PARTIAL_LINE_MS = 250
_PIPE_BYTES = 1 << 20
_LAST_WORDS_S = 0.2
_F_SETPIPE_SZ = 1031
_IOLBF = 1


class _CStdio:
    """C's stdout: line by line, and flushed when a prediction ends."""

    def __init__(self) -> None:
        self._flush: Optional[Callable[[], Any]] = None
        try:
            libc = ctypes.CDLL(None)
            stdout = ctypes.c_void_p.in_dll(libc, "stdout")
            libc.setvbuf(stdout, None, _IOLBF, 0)
            fflush = libc.fflush
            fflush.argtypes = [ctypes.c_void_p]
            self._flush = lambda: fflush(stdout)
        except (OSError, ValueError, AttributeError):
            pass

    def flush(self) -> None:
        if self._flush is not None:
            self._flush()


class LogPump:
    """The pipe behind descriptors 1 and 2. ``begin(sink)`` and ``end()`` bracket a prediction."""

    def __init__(self, out_fd: int) -> None:
        self._out_fd = out_fd
        self._lock = threading.Lock()
        self._sink: Optional[Sink] = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._unfinished = False
        self._read_fd, write_fd = os.pipe()
        try:
            fcntl.fcntl(self._read_fd, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass
        self._read_fd = _raise_fd(self._read_fd, out_fd)
        os.set_blocking(self._read_fd, False)
        sys.stdout.flush()
        sys.stderr.flush()
        self._write_fd = _raise_fd(write_fd, out_fd)
        self._aim_output()
        self._stdio = _CStdio()

    @property
    def fds(self) -> List[int]:
        """Both ends of the pipe, for those who close them after a fork."""
        return [self._read_fd, self._write_fd]

    def _aim_output(self) -> None:
        os.dup2(self._write_fd, 1, inheritable=True)
        os.dup2(self._write_fd, 2, inheritable=True)
        _line_buffered()

    def start(self) -> None:
        """Start the thread that reads."""
        threading.Thread(target=self._run, name="edgeplane-logs", daemon=True).start()

    def keep_last_words(self) -> None:
        """A model that calls ``os._exit`` would take with it what the thread has not read yet."""
        owner = os.getpid()
        leave = os._exit

        def exit_after_draining(status: int) -> NoReturn:
            if os.getpid() == owner and self._lock.acquire(timeout=_LAST_WORDS_S):
                self._drain()
                self._flush_partial()
            leave(status)

        os._exit = exit_after_draining

    def begin(self, sink: Sink) -> None:
        """What is printed from here on goes to ``sink``."""
        with self._lock:
            self._drain()
            self._flush_partial()
            self._sink = sink

    def end(self) -> None:
        """Give the sink everything that was printed, then forget it."""
        self.end_with("")

    def end_with(self, text: str) -> None:
        """The same, with a text after all that was printed."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception as error:
            self._mend(error)
        self._stdio.flush()
        with self._lock:
            self._drain()
            self._flush_partial()
            if text:
                self._give(text)
            self._sink = None

    def _mend(self, error: Exception) -> None:
        """A model closed its streams, or the descriptors below them: give the next prediction new ones."""
        closed = any(stream is None or getattr(stream, "closed", False) for stream in (sys.stdout, sys.stderr))
        if closed or isinstance(error, OSError):
            self._aim_output()

    def settle(self) -> None:
        """Give what was printed so far to the sink that is set, and keep the sink."""
        self._stdio.flush()
        with self._lock:
            self._drain()
            self._flush_partial()

    def _drain(self) -> None:
        """Take what is there now, and wait for no more: a process that the model left may print without end."""
        left = _PIPE_BYTES
        while left > 0:
            try:
                data = os.read(self._read_fd, _READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                return
            if not data:
                return
            self._take(data)
            left -= len(data)

    def _take(self, data: bytes) -> None:
        text = self._partial + self._decoder.decode(data)
        self._unfinished = True
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        if end == 0 and len(text) > LONGEST_LINE:
            end = len(text)
        self._partial = text[end:]
        if end:
            self._give(text[:end])

    def _flush_partial(self) -> None:
        if not self._unfinished:
            return
        self._unfinished = False
        text = self._partial + self._decoder.decode(b"", True)
        self._decoder.reset()
        self._partial = ""
        if text:
            self._give(text)

    def _give(self, text: str) -> None:
        if self._sink is not None:
            self._sink(text)
            return
        data = text.encode("utf-8", "replace")
        while data:
            try:
                data = data[os.write(self._out_fd, data) :]
            except OSError:
                return

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        while True:
            events = poll.poll(_PARTIAL_LINE_MS if self._partial else None)
            with self._lock:
                if events:
                    if events[0][1] & (select.POLLHUP | select.POLLNVAL) and not events[0][1] & select.POLLIN:
                        return
                    self._drain()
                else:
                    self._flush_partial()


def _raise_fd(fd: int, lowest: int) -> int:
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(fd)
    return high


def _line_buffered() -> None:
    """Python's own streams write whole lines, whatever -u says, and never fail on a character."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = open(fd, "wb", buffering=8192, closefd=False)  # noqa: SIM115 - lives as long as the process
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        setattr(stream, "mode", "w")
        setattr(sys, name, stream)
        setattr(sys, "__{}__".format(name), stream)
