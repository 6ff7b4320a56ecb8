"""Transactions stepped statement by statement, in the order that a test writes down.

    with Interleaving(pg.url) as play:
        a, b = play.connection("a"), play.connection("b")
        a.run("BEGIN")
        a.run("UPDATE t SET n = 1")
        step = b.start("UPDATE t SET n = 2")
        step.blocks_on(a)                      # asserted from the server's own words
        a.run("COMMIT")
        step.finish()

Each connection lives in a thread of its own, so that a statement can wait for a lock while the test goes on. Waiting is
never assumed: `blocks` asks pg_blocking_pids. `lose_reply` commits a statement and drops its reply: the connection
died. Code that makes its own connections is led through `tests.support.postgres_proxy.Proxy` for the same.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

SECONDS = 60.0
"""How long anything may take before the harness says what it waited for."""


class ConnectionDied(Exception):  # noqa: N818 - the answer that the client gets
    """The reply is lost; what the statement did, it did."""


class DidNotWait(AssertionError):  # noqa: N818 - a finding, which a test may foresee
    """The statement ended although it was expected to wait for a lock."""


class Step:
    """A statement under way on one connection."""

    def __init__(self, connection: Connection, description: str) -> None:
        self.connection, self.description = connection, description
        self._ended = threading.Event()
        self._rows: list[Any] = []
        self._error: BaseException | None = None

    def finish(self) -> list[Any]:
        """Wait for the statement and return its rows, or raise what it raised."""
        if not self._ended.wait(SECONDS):
            blockers = self.connection.play.blockers(self.connection)
            raise AssertionError(f"{self} did not end within {SECONDS:g} s; it waits for {blockers or 'no lock'}")
        if self._error is not None:
            raise self._error
        return self._rows

    @property
    def ended(self) -> bool:
        """Whether the server has answered."""
        return self._ended.is_set()

    def blocks(self) -> set[str]:
        """Assert that the statement waits for a lock; returns the names of the connections that it waits for.

        Raises:
            DidNotWait: it ended before it was seen to wait.
        """
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if self.ended:
                raise DidNotWait(f"{self} was expected to wait for a lock, but it ended")
            if blockers := self.connection.play.blockers(self.connection):
                return blockers
            time.sleep(0.005)
        raise AssertionError(f"{self} neither ended nor waited for a lock within {SECONDS:g} s")

    def blocks_on(self, other: Connection) -> None:
        """Assert that the statement waits for a lock that `other` holds, or is in the queue for before it."""
        blockers = self.blocks()
        assert other.name in blockers, f"{self} was expected to wait for {other.name}, but waits for {blockers}"

    def _do(self, work: Callable[[], list[Any]]) -> None:
        try:
            self._rows = work()
        except BaseException as error:
            self._error = error
        self._ended.set()

    def __str__(self) -> str:
        return f"{self.connection.name}: {self.description}"


class Connection:
    """A named connection in its own thread; statements run one after the other, autocommit unless BEGIN was sent."""

    def __init__(self, play: Interleaving, name: str) -> None:
        self.play, self.name = play, name
        self._sql = psycopg.connect(play.url, autocommit=True, application_name=name)
        self.pid = self._sql.info.backend_pid
        self._todo: queue.SimpleQueue[tuple[Step, Callable[[], list[Any]]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"interleave-{name}", daemon=True)
        self._thread.start()

    def start(self, statement: str, parameters: Sequence[Any] = ()) -> Step:
        """Send a statement and come back at once."""
        return self.call(lambda sql: _rows(sql.execute(statement, parameters or None)), description=statement)

    def call(self, work: Callable[[psycopg.Connection[Any]], list[Any]], *, description: str = "call") -> Step:
        """Run `work` on this connection in its thread: for library code that takes a psycopg connection."""
        step = Step(self, description)
        self._todo.put((step, lambda: work(self._sql)))
        return step

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Send a statement and wait for its rows."""
        return self.start(statement, parameters).finish()

    def start_transaction(self, isolation: str = "READ COMMITTED") -> None:
        self.run(f"BEGIN ISOLATION LEVEL {isolation}")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        self.run("ROLLBACK")

    def lose_reply(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement until it finishes, throw its reply away and close the connection, as a lost network does.

        Outside a transaction the statement is committed; inside one the server rolls back, as it would.

        Raises:
            ConnectionDied: always, once the server is rid of the connection.
        """
        self.run(statement, parameters)
        self.die()
        raise ConnectionDied(f"{self.name}: the reply to {statement!r} was lost")

    def die(self) -> None:
        """Close without a word and wait until the server has noticed: locks are free, nothing uncommitted stays."""
        self._end()
        until = time.monotonic() + SECONDS
        while self.play.is_connected(self):
            assert time.monotonic() < until, f"the server kept the connection {self.name}"
            time.sleep(0.005)

    def _work(self) -> None:
        while (todo := self._todo.get()) is not None:
            step, work = todo
            step._do(work)

    def _end(self) -> None:
        self._todo.put(None)
        self._thread.join(SECONDS)
        self._sql.close()


class Interleaving:
    """Connections to one database, and a further one that watches their locks; closing ends what still waits."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._watch = psycopg.connect(url, autocommit=True, application_name="watch")
        self._connections: dict[int, Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(psycopg.Error):
                self._watch.execute("SELECT pg_terminate_backend(%s)", [connection.pid])
        for connection in self._connections.values():
            connection._end()
        self._watch.close()

    def connection(self, name: str) -> Connection:
        """A new connection; the name is its application_name and its name in failures."""
        made = Connection(self, name)
        self._connections[made.pid] = made
        return made

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """What anybody else would see now: a committed-data read on the watching connection."""
        return _rows(self._watch.execute(statement, parameters or None))

    def blockers(self, connection: Connection) -> set[str]:
        """Names of the connections that `connection` waits for; empty if it waits for no lock."""
        pids = self.query("SELECT unnest(pg_blocking_pids(%s))", [connection.pid])
        return {self._connections[pid].name if pid in self._connections else f"pid {pid}" for (pid,) in pids}

    def is_connected(self, connection: Connection) -> bool:
        """Whether the server still has the connection."""
        return bool(self.query("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [connection.pid]))


def _rows(cursor: psycopg.Cursor[Any]) -> list[Any]:
    return cursor.fetchall() if cursor.description else []
