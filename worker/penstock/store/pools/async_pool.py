"""Connections for the async callers of one event loop. Leaves no task, no thread and no reader in it.

A loop may end at any time without a word, so there is nothing that it would have to wait for: a connection is opened by
the call that needs it, and closed from anywhere. Surprising: a call is made twice where the first connection was a
reused one and nothing can have happened on it (`reuse`).
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
from .slots import Idle, Slots, exhausted

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]
T = TypeVar("T")


class _Waiter:
    """A task that waits for room."""

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
        ask_after: seconds of idleness after which a connection is asked before it is used.

    Attributes:
        pid: the process that it belongs to.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[AsyncConnection]],
        settings: PoolSettings,
        *,
        ask_after: float = reuse.ASK_AFTER_SECONDS,
    ) -> None:
        self._connect, self._settings, self._ask_after = connect, settings, ask_after
        self.pid = os.getpid()
        self._slots: Slots[AsyncConnection] = Slots(settings)
        self._trimming = False

    async def run(self, use: Callable[[AsyncConnection], Awaitable[T]], *, reads: bool = False) -> T:
        """As `sync_pool.Pool.run`."""
        connection, reused = await self._take()
        try:
            return await self._used(connection, use)
        except psycopg.Error as error:
            if not reused or not reuse.repeatable(error, connection.pgconn, reads=reads):
                raise
        self._slots.finish()  # the others are as old
        connection, _ = await self._take(new=True)
        return await self._used(connection, use)

    async def _used(self, connection: AsyncConnection, use: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        turn = self._slots.lend(connection)
        try:
            return await use(connection)
        except psycopg.Error as error:
            if error.sqlstate in reuse.STALE:
                connection.pgconn.finish()
            raise
        finally:  # nothing is awaited: the loop may be closed by now
            self._slots.give_back(connection, turn)
            self._trim_later()

    async def _take(self, *, new: bool = False) -> tuple[AsyncConnection, bool]:
        """A connection, and whether it was used before."""
        waiter = _Waiter()
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

    async def _wait(self, waiter: _Waiter) -> None:
        try:
            async with asyncio.timeout(self._settings.wait):
                await waiter.handed.wait()
        except BaseException as error:
            if self._slots.leave(waiter):
                if isinstance(error, TimeoutError):
                    raise PoolExhausted(exhausted(self._settings)) from error
                raise
            if isinstance(error, TimeoutError):
                return  # handed as time ran out
            self._slots.pass_on(waiter.found)
            raise

    async def _usable(self, found: Idle[AsyncConnection]) -> bool:
        idle = self._slots.clock() - found.since
        pgconn = found.connection.pgconn
        if idle > self._settings.idle or not reuse.quiet(pgconn):
            return False
        return idle <= self._ask_after or await reuse.answers_async(pgconn)

    def _trim_later(self) -> None:
        """Look at what is idle when the first of it has been so for too long; one look is due at a time."""
        if self._trimming:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # collected as garbage, outside of its loop
            return
        left = self._slots.trim()
        if left is not None:
            self._trimming = True
            loop.call_later(left, _trim, weakref.ref(self))

    def trim(self) -> None:
        """The look that was due."""
        self._trimming = False
        self._trim_later()

    def finish(self, *, lent: bool = False) -> None:
        """Close the idle ones now and those in use when they come back, from any thread; a later call opens others.

        Args:
            lent: those in use too, because their loop is closed.
        """
        if self.pid == os.getpid():  # a forked child must not end its parent's sessions
            self._slots.finish(lent=lent)


def _trim(pool: weakref.ref[LoopPool]) -> None:
    alive = pool()
    if alive is not None:
        alive.trim()
