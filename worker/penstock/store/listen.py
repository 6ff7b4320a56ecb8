"""LISTEN on one direct connection for wake-ups, which are hints.

A reconnect counts as a wake-up for everything, because notifications sent meanwhile are lost. Polling finds every job:
a failure here is reported and survived.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from penstock.database.source import Url
from penstock.errors import StoreError

from .connect import connect_async
from .errors import mapped

WORK = "penstock_work"
"""Jobs became ready; payload: the queue's id."""
DEPTH = "penstock_depth"
"""Jobs became ready, for the operator; payload: the queue's id."""
CONTROL = "penstock_control"
"""A worker was cordoned or uncordoned; payload: the worker's id."""

PING_SECONDS = 10.0
READ_SECONDS = 1.0
"""Timeout for the rest of a notification whose first byte has arrived."""


class Listener:
    """Calls `woken(channel, payload)` for every notification, and `woken(None, "")` after each (re)connect.

    `woken` runs in the event loop and must not block. `listening`: whether LISTEN is active.
    """

    def __init__(
        self,
        url: Url,
        channels: Sequence[str],
        woken: Callable[[str | None, str], None],
        *,
        name: str = "penstock listen",
    ) -> None:
        self._url, self._channels, self._woken, self._name = url, tuple(channels), woken, name
        self.listening = False
        self.last_error: str | None = None

    async def run(self) -> None:
        """Listen until cancelled; reconnects after a jittered pause of at most five seconds."""
        failures = 0
        while True:
            try:
                connection = await connect_async(self._url, name=self._name)
            except StoreError as error:
                self.last_error = str(error)
            else:
                failures = 0
                with contextlib.suppress(StoreError):
                    await self._listen(connection)
            self.listening = False
            failures += 1
            await asyncio.sleep(random.uniform(0.1, max_pause(failures)))  # noqa: S311 - jitter

    async def _listen(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        try:
            with mapped("listen"):
                for channel in self._channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                self.listening, self.last_error = True, None
                self._woken(None, "")
                while True:
                    if await readable(connection.fileno(), PING_SECONDS):
                        waiting = connection.notifies(timeout=READ_SECONDS, stop_after=1)
                    else:
                        await connection.execute(b"SELECT")  # detects a half-open connection
                        waiting = connection.notifies(timeout=0)  # those that came with the answer
                    async for note in waiting:
                        self._woken(note.channel, note.payload)
        except StoreError as error:
            self.last_error = str(error)
            raise
        finally:
            await connection.close()


def max_pause(failures: int) -> float:
    """Seconds, at most five; the exponent is capped because an outage of an hour would overflow a float."""
    return min(5.0, 0.2 * 2.0 ** min(failures, 10))


async def readable(descriptor: int, seconds: float) -> bool:
    """Return True if a socket can be read within so many seconds.

    The driver's own wait polls ten times a second in each idle process, more than all its other work.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        async with asyncio.timeout(seconds):
            await ready.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
