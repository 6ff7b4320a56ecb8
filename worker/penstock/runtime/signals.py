"""SIGTERM and SIGINT: the first asks a worker to drain, the second ends it at once.

Owns the handlers and who hears of them. Must not know how a worker drains. Surprising: while the worker starts there is
nothing to drain, so the first signal cuts the start off, a child that does not come up or a lifespan that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator

logger = logging.getLogger("penstock.worker")


class Signals:
    """What a worker's process is told from outside.

    Args:
        draining: set by the first signal.
    """

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._starting: asyncio.Timeout | None = None

    def listen(self) -> None:
        """From now on, in the loop that runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.heard)

    @contextlib.asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Around the start: a signal ends the block by cancellation, and what is behind it goes on."""
        try:
            async with asyncio.timeout(None) as scope:
                self._starting = scope
                yield
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._starting = None

    def heard(self) -> None:
        """A signal came."""
        if self._draining.is_set():
            logger.warning("second signal: leaving at once")
            os._exit(1)
        logger.info("draining" if self._starting is None else "told to leave before the start is over")
        self._draining.set()
        if self._starting is not None:
            self._starting.reschedule(asyncio.get_running_loop().time())
