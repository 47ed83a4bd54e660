"""The life of a model process.

State: *starting* (descriptors moved, control channel up) → *loaded* (the signature is known) → *ready* (``setup``
returned; slots take work) → *ended*. A failure before *ready* sends ``setup_failed`` and ends with 1.
"""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import inspect
import os
import resource
import signal
import sys
import threading
import time
from typing import Any, Optional, Union

import cog

from .async_slots import AsyncSlots
from .control import Control, exit_now
from .descriptors import close_after_fork, take_descriptors
from .device_memory import reserved_bytes
from .failures import error_message, traceback_text
from .frames import Channel
from .group import end_group
from .interrupt import Cancels, Interrupter
from .loader import Model, load_model
from .logs import LogPump
from .schema import build_schema
from .sync_slots import SyncSlots

_EXIT_HOOKS_LIMIT_S = 3.0
_LAST_WORDS_LIMIT_S = 1.0
_THREAD_STACK_BYTES = 512 * 1024


def _limit_memory() -> None:
    limit = os.environ.get("EDGEPLANE_MEMORY_LIMIT_BYTES")
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))


def _weights() -> Any:
    given = os.environ.get("EDGEPLANE_SETUP_WEIGHTS") or os.environ.get("COG_WEIGHTS")
    if given:
        return given if "://" in given else cog.Path(given)
    return cog.Path("weights") if os.path.exists("weights") else None


def _call_setup(model: Model, loop: asyncio.AbstractEventLoop) -> None:
    if model.setup is None:
        return
    parameters = inspect.signature(model.setup).parameters
    own = inspect.unwrap(getattr(model.setup, "__func__", model.setup)) is not cog.BaseRunner.setup
    result = model.setup(weights=_weights()) if "weights" in parameters and own else model.setup()
    if inspect.isawaitable(result):

        async def wait() -> Any:
            return await result

        loop.run_until_complete(wait())


def _describe(model: Model) -> Optional[str]:
    return inspect.getdoc(model.run)


class Process:
    """One model process, from start to end."""

    def __init__(self) -> None:
        self._model_dir = os.environ["EDGEPLANE_MODEL_DIR"]
        slot_count = int(os.environ.get("EDGEPLANE_SLOTS", "1"))
        fds = take_descriptors(slot_count)
        faulthandler.enable(file=fds.err, all_threads=False)
        threading.stack_size(_THREAD_STACK_BYTES)
        self._pump = LogPump(fds.out)
        self._channels = [Channel(fd) for fd in fds.slots]
        self._control = Control(Channel(fds.control), self._leave_at_once)
        self._cancels = Cancels()
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._fds = fds
        close_after_fork([fds.control, *fds.slots, fds.out, fds.err, *self._pump.fds])

    def run(self) -> None:
        """Load, set up, serve, end. It does not return."""
        asyncio.set_event_loop(self._loop)
        signal.signal(signal.SIGINT, lambda number, frame: None)
        interrupter = Interrupter(self._cancels)
        self._pump.start()
        self._pump.keep_last_words()
        self._control.start()
        threading.stack_size(0)
        try:
            _limit_memory()
            model = self._load()
            self._set_up(model)
            slots = self._make_slots(model, interrupter)
        except BaseException as error:
            self._fail(error)
            return
        self._control.shutdown = self._stop_slots
        self._control.send(type="ready", setupSeconds=round(self._setup_seconds, 6), deviceBytes=reserved_bytes())
        code = 0
        try:
            slots.serve()
        except BaseException as error:
            print(traceback_text(error), file=sys.stderr, flush=True)
            code = 1
        self._end(code)

    def _load(self) -> Model:
        model = load_model(self._model_dir)
        self._control.model = model
        self._control.loop = self._loop
        schema = build_schema(model.signature, model.streaming, _describe(model))
        self._control.send(
            type="loaded",
            schema=schema,
            batch=model.batch is not None,
            concurrency=model.concurrency,
            streams=model.streams,
            healthcheck=model.healthcheck is not None,
            ahead=self._ahead(model),
            **{"async": model.is_async},
        )
        return model

    def _ahead(self, model: Model) -> int:
        """How many runs a slot takes behind the one that runs: of a synchronous model, which has one slot, as many as
        the pool asks."""
        asked = os.environ.get("EDGEPLANE_RUNS_AHEAD", "0")
        return int(asked) if asked.isdigit() and not model.is_async and len(self._channels) == 1 else 0

    def _set_up(self, model: Model) -> None:
        began = time.perf_counter()
        _call_setup(model, self._loop)
        self._setup_seconds = time.perf_counter() - began

    def _make_slots(self, model: Model, interrupter: Interrupter) -> Union[SyncSlots, AsyncSlots]:
        if model.is_async:
            slots = AsyncSlots(model, self._channels, self._pump, self._cancels, self._loop)

            def cancel(prediction_id: str) -> None:
                self._cancels.add(prediction_id)
                slots.cancel(prediction_id)

            self._control.cancel = cancel
            self._control.running = lambda: slots.running
            return slots
        sync_slots = SyncSlots(model, self._channels, self._pump, self._cancels, interrupter, self._ahead(model) > 0)

        def interrupt(prediction_id: str) -> None:
            self._cancels.add(prediction_id)
            interrupter.poke()

        self._control.cancel = interrupt
        self._control.running = lambda: sync_slots.running
        return sync_slots

    def _fail(self, error: BaseException) -> None:
        if os.getpid() != self._pid:
            exit_now(1)
        trace = traceback_text(error)
        self._control.send(type="setup_failed", message=error_message(error), traceback=trace)
        print(trace, file=sys.stderr, flush=True)
        self._restore_output()
        exit_now(1)

    def _stop_slots(self) -> None:
        for channel in self._channels:
            channel.stop_reading()

    def _restore_output(self) -> None:
        """Let the last words of the interpreter and of C code reach the pool without the thread that reads."""
        self._pump.end()
        os.dup2(self._fds.out, 1)
        os.dup2(self._fds.err, 2)

    def _leave_at_once(self) -> None:
        limit = threading.Timer(_LAST_WORDS_LIMIT_S, exit_now, [0])
        limit.daemon = True
        limit.start()
        end_group()
        self._restore_output()
        exit_now(0)

    def _end(self, code: int) -> None:
        """Run the model's exit hooks for a while, then leave whatever its threads do."""
        self._restore_output()
        limit = threading.Timer(_EXIT_HOOKS_LIMIT_S, exit_now, [code])
        limit.daemon = True
        limit.start()
        try:
            atexit._run_exitfuncs()
        except BaseException as error:
            print(traceback_text(error), file=sys.stderr, flush=True)
        end_group()
        exit_now(code)


def main() -> None:
    """Run the process that the environment describes."""
    Process().run()
