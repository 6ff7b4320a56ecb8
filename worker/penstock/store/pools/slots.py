"""The bookkeeping of a pool: which connections are idle, how many are open, who waits for one. Opens and asks nothing.

A connection that comes back goes to whoever has waited longest, and not to whoever comes next: under load nobody waits
for ever. Every method may be called from any thread, because a loop or a thread that is over cannot clean up after
itself. Surprising: `finish` of libpq is called directly, which works from any thread and without the connection's loop.
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
    """A connection that nobody uses, and since when on the monotonic clock."""

    connection: C
    since: float


class Waiter(Protocol[C]):
    """Who waits for room: `hand` gives it an idle connection, or None for the right to open one."""

    def hand(self, found: Idle[C] | None) -> None:
        """Called once, under the lock of the slots, from any thread."""


class Slots(Generic[C]):
    """Room for `settings.size` connections.

    Args:
        settings: size and idle time.
        clock: seconds on a monotonic clock.
    """

    def __init__(self, settings: PoolSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings, self.clock = settings, clock
        self._lock = threading.RLock()  # garbage collected under it may give a connection back
        self._idle: list[Idle[C]] = []  # the longest idle first
        self._lent: set[C] = set()
        self._waiting: deque[Waiter[C]] = deque()
        self._open = 0
        self._turn = 0
        self._at_end = weakref.finalize(self, _finish_own, self._idle, os.getpid())

    def take(self, waiter: Waiter[C]) -> bool:
        """Hand room to `waiter` now, or line it up; False if it has to wait."""
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
        """`waiter` waits no longer; False if it was handed something meanwhile."""
        with self._lock:
            if waiter not in self._waiting:
                return False
            self._waiting.remove(waiter)
            return True

    def lend(self, connection: C) -> int:
        """Note that it is in use; gives what `give_back` wants to be told."""
        with self._lock:
            self._lent.add(connection)
            return self._turn

    def give_back(self, connection: C, turn: int) -> None:
        """Its use is over. One in the middle of something, or lent before `finish`, is closed and its room is free."""
        pgconn = connection.pgconn
        with self._lock:
            self._lent.discard(connection)
            usable = turn == self._turn and pgconn.transaction_status == TransactionStatus.IDLE
            if usable and self._waiting:
                self._waiting.popleft().hand(Idle(connection, self.clock()))
                return
            if usable and self.settings.idle > 0:
                self._idle.append(Idle(connection, self.clock()))
                return
            self.free()
        pgconn.finish()

    def pass_on(self, found: Idle[C] | None) -> None:
        """What was handed to somebody who is gone: to the next, or back."""
        if found is None:
            self.free()
        else:
            self.give_back(found.connection, self._turn)

    def free(self) -> None:
        """One connection fewer is open, or to be opened."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().hand(None)
            else:
                self._open -= 1

    def trim(self) -> float | None:
        """Close what has been idle for too long; seconds until the next one has, None if none is idle."""
        now, over = self.clock(), []
        with self._lock:
            while self._idle and self._idle[0].since + self.settings.idle <= now:
                over.append(self._idle.pop(0).connection)
                self._open -= 1
            left = self._idle[0].since + self.settings.idle - now if self._idle else None
        for connection in over:
            connection.pgconn.finish()
        return left

    def finish(self, *, lent: bool = False) -> None:
        """Close the idle ones now and those in use when they come back; with `lent` these too: their loop is over."""
        with self._lock:
            self._turn += 1
            over = [one.connection for one in self._idle]
            self._open -= len(over)
            self._idle.clear()
            if lent:
                over += self._lent
        for connection in over:
            connection.pgconn.finish()


def _finish_own(idle: list[Idle[C]], pid: int) -> None:
    """At the end of a pool or its process; a forked child must not end its parent's sessions."""
    if os.getpid() == pid:
        for one in idle:
            one.connection.pgconn.finish()


def exhausted(settings: PoolSettings) -> str:
    """The sentence for a call that found no free connection."""
    every = "the only connection" if settings.size == 1 else f"each of the {settings.size} connections"
    return f"{every} of this pool was in use for {settings.wait:g} s; App(pool_size=...) allows more of them"
