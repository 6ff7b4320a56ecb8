"""Connections for sync callers of one process, shared by its threads; opened when needed, looked at before each reuse.

No thread belongs to it but one that closes what was idle for too long, while there is something idle. Surprising: a
call is made twice where the first connection was a reused one and nothing can have happened on it (`reuse`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from penstock.database.pool_settings import PoolSettings
from penstock.errors import PoolExhausted

from . import reuse
from .slots import Idle, Slots, exhausted

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")


class _Waiter:
    """A thread that waits for room."""

    __slots__ = ("_handed", "found")

    def __init__(self) -> None:
        self._handed = threading.Event()
        self.found: Idle[Connection] | None = None

    def hand(self, found: Idle[Connection] | None) -> None:
        self.found = found
        self._handed.set()

    def wait(self, seconds: float) -> bool:
        return self._handed.wait(seconds)


class Pool:
    """At most `settings.size` connections.

    Args:
        connect: opens one, in autocommit.
        settings: size, wait and idle time.
        ask_after: seconds of idleness after which a connection is asked before it is used.
    """

    def __init__(
        self, connect: Callable[[], Connection], settings: PoolSettings, *, ask_after: float = reuse.ASK_AFTER_SECONDS
    ) -> None:
        self._connect, self._settings, self._ask_after = connect, settings, ask_after
        self._slots: Slots[Connection] = Slots(settings)
        self._trimmer = _Trimmer(self._slots)

    def run(self, use: Callable[[Connection], T], *, reads: bool = False) -> T:
        """What `use` gives on one of the connections.

        Args:
            use: makes one transaction, or one statement.
            reads: it changes nothing, so it may be made again after a lost reply.

        Raises:
            PoolExhausted: none became free in time.
            psycopg.Error, StoreError: of `use`, or of opening a connection.
        """
        connection, reused = self._take()
        try:
            return self._used(connection, use)
        except psycopg.Error as error:
            if not reused or not reuse.repeatable(error, connection.pgconn, reads=reads):
                raise
        self._slots.finish()  # the others are as old
        connection, _ = self._take(new=True)
        return self._used(connection, use)

    def _used(self, connection: Connection, use: Callable[[Connection], T]) -> T:
        turn = self._slots.lend(connection)
        try:
            return use(connection)
        except psycopg.Error as error:
            if error.sqlstate in reuse.STALE:
                connection.pgconn.finish()
            raise
        finally:
            self._slots.give_back(connection, turn)
            self._trimmer.see()

    def _take(self, *, new: bool = False) -> tuple[Connection, bool]:
        """A connection, and whether it was used before."""
        waiter = _Waiter()
        if not (self._slots.take(waiter) or waiter.wait(self._settings.wait)) and self._slots.leave(waiter):
            raise PoolExhausted(exhausted(self._settings))
        try:
            found = waiter.found
            if found is not None:
                if not new and self._usable(found):
                    return found.connection, True
                found.connection.pgconn.finish()
            return self._connect(), False
        except BaseException:
            if waiter.found is not None:
                waiter.found.connection.pgconn.finish()
            self._slots.free()
            raise

    def _usable(self, found: Idle[Connection]) -> bool:
        idle = self._slots.clock() - found.since
        pgconn = found.connection.pgconn
        if idle > self._settings.idle or not reuse.quiet(pgconn):
            return False
        return idle <= self._ask_after or reuse.answers(pgconn)

    def close(self) -> None:
        """Close the idle ones now and those in use when they come back; a later call opens others."""
        self._slots.finish()
        self._trimmer.end()


class _Trimmer:
    """The thread that closes idle connections; it lives while there are any, and keeps neither them nor the process."""

    def __init__(self, slots: Slots[Connection]) -> None:
        look = self._look = threading.Event()
        self._slots = weakref.ref(slots, lambda _: look.set())
        self._thread: threading.Thread | None = None

    def see(self) -> None:
        """A connection came back: have a thread, if something is idle."""
        slots = self._slots()
        if self._thread is not None or slots is None or slots.trim() is None:
            return
        thread = threading.Thread(target=self._run, name="penstock-pool", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            self._thread = None

    def _run(self) -> None:
        while (left := self._trim()) is not None:
            self._look.wait(left)
            self._look.clear()
        self._thread = None
        self.see()  # what came back in between

    def _trim(self) -> float | None:
        slots = self._slots()
        return None if slots is None else slots.trim()

    def end(self) -> None:
        """Wait for the thread; nothing is idle any more."""
        thread = self._thread
        self._look.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
