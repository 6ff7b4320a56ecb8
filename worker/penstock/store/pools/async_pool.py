"""Connections for the async callers of one event loop. Leaves no task, thread or reader in it.

A loop may end at any time without notice, and nothing here makes it wait: a connection is opened by the call that needs
it, and can be closed from any thread. A call is retried once if the first connection was a reused one and the statement
cannot have had an effect (`reuse`).
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from penstock.database.pool_settings import PoolSettings
from penstock.errors import PoolExhausted

from . import reuse
from .slots import ConnectionSlots, Idle, exhausted

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]
T = TypeVar("T")


class _WaitingTask:
    """A task that waits for a connection."""

    __slots__ = ("_loop", "found", "handed")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.handed = asyncio.Event()
        self.found: Idle[AsyncConnection] | None = None

    def hand(self, found: Idle[AsyncConnection] | None) -> None:
        self.found = found
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            self.handed.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.handed.set)


class LoopPool:
    """At most `settings.size` connections, for the running loop.

    Args:
        connect: opens one, in autocommit.
        settings: size, wait and idle time.
        check_after: seconds of idleness after which a connection is checked with a round trip.

    Attributes:
        pid: the process that it belongs to.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[AsyncConnection]],
        settings: PoolSettings,
        *,
        check_after: float = reuse.CHECK_AFTER_SECONDS,
    ) -> None:
        self._connect, self._settings, self._check_after = connect, settings, check_after
        self.pid = os.getpid()
        self._slots: ConnectionSlots[AsyncConnection] = ConnectionSlots(settings)
        self._trimming = False

    async def run(self, use: Callable[[AsyncConnection], Awaitable[T]], *, reads: bool = False) -> T:
        """As `sync_pool.Pool.run`."""
        connection, reused = await self._take()
        try:
            return await self._used(connection, use)
        except psycopg.Error as error:
            if not reused or not reuse.repeatable(error, connection.pgconn, reads=reads):
                raise
        self._slots.finish()  # the others are as old as this one
        connection, _ = await self._take(new=True)
        return await self._used(connection, use)

    async def _used(self, connection: AsyncConnection, use: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        generation = self._slots.check_out(connection)
        try:
            return await use(connection)
        except psycopg.Error as error:
            if error.sqlstate in reuse.STALE:
                connection.pgconn.finish()
            raise
        finally:  # nothing is awaited: the loop may be closed
            self._slots.check_in(connection, generation)
            self._trim_later()

    async def _take(self, *, new: bool = False) -> tuple[AsyncConnection, bool]:
        """A connection, and whether it is a reused one."""
        waiter = _WaitingTask()
        if not self._slots.take(waiter):
            await self._wait(waiter)
        try:
            found = waiter.found
            if found is not None:
                if not new and await self._usable(found):
                    return found.connection, True
                found.connection.pgconn.finish()
            return await self._connect(), False
        except BaseException:
            if waiter.found is not None:
                waiter.found.connection.pgconn.finish()
            self._slots.free()
            raise

    async def _wait(self, waiter: _WaitingTask) -> None:
        try:
            async with asyncio.timeout(self._settings.wait):
                await waiter.handed.wait()
        except BaseException as error:
            if self._slots.leave(waiter):
                if isinstance(error, TimeoutError):
                    raise PoolExhausted(exhausted(self._settings)) from error
                raise
            if isinstance(error, TimeoutError):
                return  # handed over just before the timeout
            self._slots.hand_over(waiter.found)
            raise

    async def _usable(self, found: Idle[AsyncConnection]) -> bool:
        idle = self._slots.clock() - found.since
        pgconn = found.connection.pgconn
        if idle > self._settings.idle or not reuse.quiet(pgconn):
            return False
        return idle <= self._check_after or await reuse.answers_async(pgconn)

    def _trim_later(self) -> None:
        """Schedule the next trim for when the first idle connection times out; at most one is scheduled."""
        if self._trimming:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # garbage collected outside of its loop
            return
        left = self._slots.trim()
        if left is not None:
            self._trimming = True
            loop.call_later(left, _trim, weakref.ref(self))

    def trim(self) -> None:
        """Run the scheduled trim."""
        self._trimming = False
        self._trim_later()

    def finish(self, *, checked_out: bool = False) -> None:
        """Close idle connections now, those in use at their check-in; from any thread. A later call opens new ones.

        Args:
            checked_out: also those in use, because their loop is closed.
        """
        if self.pid == os.getpid():  # a forked child must not end its parent's sessions
            self._slots.finish(checked_out=checked_out)


def _trim(pool: weakref.ref[LoopPool]) -> None:
    alive = pool()
    if alive is not None:
        alive.trim()
