"""Connections for sync callers of one process, shared by its threads; opened when needed, checked before each reuse.

Its only thread closes connections that were idle for too long, and lives while there are idle ones. A call is retried
once if the first connection was a reused one and the statement cannot have had an effect (`reuse`).
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
from .slots import ConnectionSlots, Idle, exhausted

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")


class _WaitingThread:
    """A thread that waits for a connection."""

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
        check_after: seconds of idleness after which a connection is checked with a round trip.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        settings: PoolSettings,
        *,
        check_after: float = reuse.CHECK_AFTER_SECONDS,
    ) -> None:
        self._connect, self._settings, self._check_after = connect, settings, check_after
        self._slots: ConnectionSlots[Connection] = ConnectionSlots(settings)
        self._trimmer = _Trimmer(self._slots)

    def run(self, use: Callable[[Connection], T], *, reads: bool = False) -> T:
        """Call `use` with one of the connections and return its result.

        Args:
            use: makes one transaction, or one statement.
            reads: it changes nothing and may be retried after a lost reply.

        Raises:
            PoolExhausted: none became free in time.
            psycopg.Error, StoreError: from `use`, or from opening a connection.
        """
        connection, reused = self._take()
        try:
            return self._used(connection, use)
        except psycopg.Error as error:
            if not reused or not reuse.repeatable(error, connection.pgconn, reads=reads):
                raise
        self._slots.finish()  # the others are as old as this one
        connection, _ = self._take(new=True)
        return self._used(connection, use)

    def _used(self, connection: Connection, use: Callable[[Connection], T]) -> T:
        generation = self._slots.check_out(connection)
        try:
            return use(connection)
        except psycopg.Error as error:
            if error.sqlstate in reuse.STALE:
                connection.pgconn.finish()
            raise
        finally:
            self._slots.check_in(connection, generation)
            self._trimmer.notify()

    def _take(self, *, new: bool = False) -> tuple[Connection, bool]:
        """A connection, and whether it is a reused one."""
        waiter = _WaitingThread()
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
        return idle <= self._check_after or reuse.answers(pgconn)

    def close(self) -> None:
        """Close idle connections now and those in use when they are checked in; a later call opens new ones."""
        self._slots.finish()
        self._trimmer.stop()


class _Trimmer:
    """The thread that closes idle connections. It lives while there are any, and keeps no process alive."""

    def __init__(self, slots: ConnectionSlots[Connection]) -> None:
        wake = self._wake = threading.Event()
        self._slots = weakref.ref(slots, lambda _: wake.set())
        self._thread: threading.Thread | None = None

    def notify(self) -> None:
        """A connection was checked in: start the thread if one is idle."""
        slots = self._slots()
        if self._thread is not None or slots is None or slots.trim() is None:
            return
        thread = threading.Thread(target=self._run, name="penstock-pool", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._thread = None

    def _run(self) -> None:
        while (left := self._trim()) is not None:
            self._wake.wait(left)
            self._wake.clear()
        self._thread = None
        self.notify()  # for connections that were checked in meanwhile

    def _trim(self) -> float | None:
        slots = self._slots()
        return None if slots is None else slots.trim()

    def stop(self) -> None:
        """Wait for the thread; no connection is idle now."""
        thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
