"""The bookkeeping of a pool: idle connections, the number of open ones, waiters. Opens and checks none itself.

A connection that is checked in goes to the waiter that came first: under load no waiter starves. Every method may be
called from any thread, because an ended loop or thread cannot clean up after itself. libpq's `finish` is called
directly, which works from any thread and without the connection's loop.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from penstock.database.pool_settings import PoolSettings

C = TypeVar("C", bound="psycopg.Connection[tuple[object, ...]] | psycopg.AsyncConnection[tuple[object, ...]]")


class Idle(NamedTuple, Generic[C]):
    """An idle connection, and since when on the monotonic clock."""

    connection: C
    since: float


class Waiter(Protocol[C]):
    """A waiter: `hand` passes it an idle connection, or None for the right to open one."""

    def hand(self, found: Idle[C] | None) -> None:
        """Called once, under the lock of the slots, from any thread."""


class ConnectionSlots(Generic[C]):
    """Slots for `settings.size` connections.

    Args:
        settings: size and idle time.
        clock: seconds on a monotonic clock.
    """

    def __init__(self, settings: PoolSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings, self.clock = settings, clock
        self._lock = threading.RLock()  # garbage collection under it may check a connection in
        self._idle: list[Idle[C]] = []  # the one that is idle longest first
        self._checked_out: set[C] = set()
        self._waiting: deque[Waiter[C]] = deque()
        self._open = 0
        self._generation = 0
        self._at_end = weakref.finalize(self, _finish_own, self._idle, os.getpid())

    def take(self, waiter: Waiter[C]) -> bool:
        """Hand a slot to `waiter` now, or queue it; returns False if it must wait."""
        with self._lock:
            if self._idle:
                waiter.hand(self._idle.pop())
            elif self._open < self.settings.size:
                self._open += 1
                waiter.hand(None)
            else:
                self._waiting.append(waiter)
                return False
            return True

    def leave(self, waiter: Waiter[C]) -> bool:
        """Remove `waiter` from the queue; False if it was handed something meanwhile."""
        with self._lock:
            if waiter not in self._waiting:
                return False
            self._waiting.remove(waiter)
            return True

    def check_out(self, connection: C) -> int:
        """Note that it is in use; returns the generation for `check_in`."""
        with self._lock:
            self._checked_out.add(connection)
            return self._generation

    def check_in(self, connection: C, generation: int) -> None:
        """End its use. One inside a transaction, or checked out before `finish`, is closed and its slot freed."""
        pgconn = connection.pgconn
        with self._lock:
            self._checked_out.discard(connection)
            usable = generation == self._generation and pgconn.transaction_status == TransactionStatus.IDLE
            if usable and self._waiting:
                self._waiting.popleft().hand(Idle(connection, self.clock()))
                return
            if usable and self.settings.idle > 0:
                self._idle.append(Idle(connection, self.clock()))
                return
            self.free()
        pgconn.finish()

    def hand_over(self, found: Idle[C] | None) -> None:
        """Hand what a gone waiter was handed to the next one, or check it in."""
        if found is None:
            self.free()
        else:
            self.check_in(found.connection, self._generation)

    def free(self) -> None:
        """Free a slot: a connection was closed, or was not opened."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().hand(None)
            else:
                self._open -= 1

    def trim(self) -> float | None:
        """Close connections that timed out; returns seconds until the next one does, None if none is idle."""
        now, over = self.clock(), []
        with self._lock:
            while self._idle and self._idle[0].since + self.settings.idle <= now:
                over.append(self._idle.pop(0).connection)
                self._open -= 1
            left = self._idle[0].since + self.settings.idle - now if self._idle else None
        for connection in over:
            connection.pgconn.finish()
        return left

    def finish(self, *, checked_out: bool = False) -> None:
        """Close idle connections now, those in use at their check-in; with `checked_out` now: their loop ended."""
        with self._lock:
            self._generation += 1
            over = [one.connection for one in self._idle]
            self._open -= len(over)
            self._idle.clear()
            if checked_out:
                over += self._checked_out
        for connection in over:
            connection.pgconn.finish()


def _finish_own(idle: list[Idle[C]], pid: int) -> None:
    """Close idle connections when a pool or its process stops; not in a forked child, which shares the sockets."""
    if os.getpid() == pid:
        for one in idle:
            one.connection.pgconn.finish()


def exhausted(settings: PoolSettings) -> str:
    """The message for a call that found no free connection."""
    every = "the only connection" if settings.size == 1 else f"every connection (pool_size {settings.size})"
    return f"{every} of this pool stayed in use for {settings.wait:g} s; raise App(pool_size=...)"
