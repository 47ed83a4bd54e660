"""The control channel: says that the process lives, takes cancellations, health checks and the end."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from typing import Any, Callable, List, Optional, Tuple

from .device_memory import reserved_bytes
from .failures import error_message
from .frames import Channel, ProtocolError, message
from .loader import Model

_ALIVE_EVERY_S = 1.0
_HEALTH_LIMIT_S = 5.0

_leave = os._exit


class Control:
    """Reads fd 3 in a thread. What can be done depends on how far the process is; ``main`` fills the hooks in."""

    def __init__(self, channel: Channel, leave: Callable[[], None]) -> None:
        self._channel = channel
        self._leave = leave
        self.running: Callable[[], List[str]] = lambda: []
        self.cancel: Callable[[str], None] = lambda prediction_id: None
        self.shutdown: Callable[[], None] = leave
        self.model: Optional[Model] = None
        self.loop: Optional[asyncio.AbstractEventLoop] = None

    def start(self) -> None:
        """Start the thread that reads and the one that says ``alive``."""
        for target, name in ((self._read, "edgeplane-control"), (self._say_alive, "edgeplane-alive")):
            threading.Thread(target=target, name=name, daemon=True).start()

    def send(self, **fields: Any) -> None:
        """Send a message to the pool."""
        self._channel.send(message(**fields))

    def _say_alive(self) -> None:
        while True:
            time.sleep(_ALIVE_EVERY_S)
            self.send(type="alive", running=self.running(), deviceBytes=reserved_bytes())

    def _read(self) -> None:
        while True:
            try:
                received = self._channel.read()
            except ProtocolError:
                received = None
            if received is None:
                self._leave()
                return
            kind = received.get("type")
            if kind == "cancel" and isinstance(received.get("id"), str):
                self.cancel(received["id"])
            elif kind == "healthcheck":
                threading.Thread(target=self._check_health, name="edgeplane-health", daemon=True).start()
            elif kind == "shutdown":
                self.shutdown()

    def _check_health(self) -> None:
        result: List[Tuple[bool, str]] = []
        check = threading.Thread(target=lambda: result.append(self._ask_model()), daemon=True)
        check.start()
        check.join(_HEALTH_LIMIT_S)
        healthy, said = result[0] if result else (False, "the healthcheck took longer than {:g} s".format(_HEALTH_LIMIT_S))
        self.send(type="health", healthy=healthy, message=said)

    def _ask_model(self) -> Tuple[bool, str]:
        healthcheck = self.model.healthcheck if self.model is not None else None
        if healthcheck is None:
            return True, ""
        try:
            answer = healthcheck()
            if inspect.isawaitable(answer):
                answer = self._await(answer)
            return bool(answer), "" if answer else "the model's healthcheck answered {!r}".format(answer)
        except BaseException as error:
            return False, error_message(error)

    def _await(self, answer: Any) -> Any:
        async def wait() -> Any:
            return await answer

        if self.loop is not None and self.loop.is_running():
            return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(_HEALTH_LIMIT_S)
        return asyncio.new_event_loop().run_until_complete(wait())


def exit_now(code: int) -> None:
    """End the process without waiting for anybody's threads, nor for whoever reads what was printed."""
    _leave(code)
