"""Whether a connection that lay idle can be used, and which failures on one may be repeated on a new one.

A server that was restarted, an idle timeout, a failover: the connection is gone although the server is there. What has
been closed is seen without a round trip; what has been idle for longer is asked. Surprising: an enqueue whose
connection is lost is only repeated where the server itself said that it did nothing; else it might be there twice.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final

import psycopg
from psycopg.pq import ConnStatus, abc

ASK_AFTER_SECONDS: Final = 30.0
"""Idle for longer, a connection is asked before it is used: something between may have forgotten it without a word."""
ANSWER_SECONDS: Final = 2.0
STALE: Final = frozenset({
    "57P01",  # ended by an administrator, or by a restart: what it was doing is rolled back
    "57P05",  # idle_session_timeout, which ends idle sessions only
    "25006",  # a standby by now: it was the primary when this connection was made
    "26000",  # the session is another one than that which prepared the statement
    "0A000",  # a prepared statement's result has another form since a migration
})  # fmt: skip
"""SQLSTATEs by which the server says that the statement had no effect, while a new connection may do better."""


def quiet(pgconn: abc.PGconn) -> bool:
    """Whether it is open and nothing has arrived while it was idle: that would announce its end. No round trip."""
    if pgconn.status != ConnStatus.OK:
        return False
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    return not poll.poll(0)


def answers(pgconn: abc.PGconn, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the server answers within `seconds`; one round trip."""
    try:
        _ask(pgconn)
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN)
        while pgconn.is_busy():
            if not poll.poll(seconds * 1000):
                return False
            pgconn.consume_input()
        return _answered(pgconn)
    except psycopg.Error:
        return False


async def answers_async(pgconn: abc.PGconn, seconds: float = ANSWER_SECONDS) -> bool:
    """As `answers`, without blocking the event loop."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    try:
        _ask(pgconn)
        socket = pgconn.socket
        loop.add_reader(socket, arrived.set)
        try:
            async with asyncio.timeout(seconds):
                while pgconn.is_busy():
                    await arrived.wait()
                    arrived.clear()
                    pgconn.consume_input()
        finally:
            loop.remove_reader(socket)
        return _answered(pgconn)
    except (psycopg.Error, TimeoutError):
        return False


def _ask(pgconn: abc.PGconn) -> None:
    pgconn.send_query(b"")
    pgconn.flush()


def _answered(pgconn: abc.PGconn) -> bool:
    while pgconn.get_result() is not None:
        pass
    return bool(pgconn.status == ConnStatus.OK)


def repeatable(error: psycopg.Error, pgconn: abc.PGconn, *, reads: bool) -> bool:
    """Whether the call that failed so on a reused connection may be made again on a new one.

    Args:
        error: what it failed with.
        pgconn: the connection that it failed on.
        reads: the call changes nothing, so a lost reply does no harm.
    """
    return error.sqlstate in STALE or (reads and pgconn.status != ConnStatus.OK)
