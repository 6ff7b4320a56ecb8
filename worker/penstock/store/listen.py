"""LISTEN on one direct connection: wake-ups, which are hints. A reconnect counts as a wake-up of everything, because
what was sent meanwhile is gone. The poll behind it is the truth, so a failure here is told and survived.
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
"""As WORK, for the operator."""
CONTROL = "penstock_control"
"""A worker was cordoned or called back; payload: the worker's id."""

PING_SECONDS = 10.0
READ_SECONDS = 1.0
"""A notification whose first byte is there is read within this, or waited for again."""


class Listener:
    """Calls `woken(channel, payload)` for every notification, and `woken(None, "")` after each (re)connect.

    `woken` runs in the event loop and must not block. `listening` says whether the connection stands.
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
        """Listen until cancelled; reconnects with a jittered pause of up to five seconds."""
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
            await asyncio.sleep(random.uniform(0.1, longest_pause(failures)))  # noqa: S311 - jitter

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
                        await connection.execute(b"SELECT")  # a half-open connection shows here
                        waiting = connection.notifies(timeout=0)  # what came with the answer
                    async for note in waiting:
                        self._woken(note.channel, note.payload)
        except StoreError as error:
            self.last_error = str(error)
            raise
        finally:
            await connection.close()


def longest_pause(failures: int) -> float:
    """Seconds, at most five; the doublings are capped as well, for an outage of an hour has more than a float bears."""
    return min(5.0, 0.2 * 2.0 ** min(failures, 10))


async def readable(descriptor: int, seconds: float) -> bool:
    """Whether a socket can be read within so many seconds.

    The driver's own wait looks ten times a second, in each idle process: more than everything else that it does.
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
