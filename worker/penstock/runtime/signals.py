"""SIGTERM and SIGINT: the first asks a worker to drain, the second stops it at once.

Owns the signal handlers. Must not know how a worker drains. During the start there is nothing to drain: the first
signal cancels the start, a child process that does not start or a lifespan that hangs included.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import Final

from .state import WorkerState

logger = logging.getLogger("penstock.worker")

NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """The signals of a worker's process.

    Args:
        state: of the worker; the first signal starts its drain.
    """

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._starting: asyncio.Timeout | None = None
        self._installed: dict[signal.Signals, object] = {}
        self._logged = False

    def listen(self) -> None:
        """Install the handlers, in the running event loop."""
        loop = asyncio.get_running_loop()
        for number in NUMBERS:
            loop.add_signal_handler(number, self.received)
            self._installed[number] = signal.getsignal(number)

    def keep(self) -> None:
        """Take the signals back, should code of the application have installed handlers of its own.

        A worker that does not get SIGTERM would be killed with what it runs. Logged once.
        """
        replaced = [number for number in NUMBERS if signal.getsignal(number) != self._installed.get(number)]
        self.listen()
        if replaced and not self._logged:
            self._logged = True
            extra = {"signals": ",".join(number.name for number in replaced)}
            logger.warning("signal handler replaced by the application, restored; clean up in a lifespan", extra=extra)

    @contextlib.asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Context of the start: a signal cancels the block, and the code after it goes on."""
        try:
            async with asyncio.timeout(None) as scope:
                self._starting = scope
                yield
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._starting = None

    def received(self) -> None:
        """A signal came."""
        if self._state.draining:
            logger.warning("second signal received, exiting at once")
            os._exit(1)
        if self._starting is None:
            logger.info("signal received, draining")
        else:
            logger.info("signal received during the start, exiting")
        self._state.drain()
        if self._starting is not None:
            self._starting.reschedule(asyncio.get_running_loop().time())
