"""Decides whether an idle connection can be reused, and which of its failures are retried on a new one.

After a restart, an idle timeout or a failover the connection is gone although the server is up. A closed socket is
detected without a round trip; a longer idle connection is checked with one. An enqueue whose connection is lost is
retried only if the server reported that it did nothing; otherwise the job might be there twice.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final

import psycopg
from psycopg.pq import ConnStatus, abc

CHECK_AFTER_SECONDS: Final = 30.0
"""Seconds of idleness after which a connection is checked: a firewall may have dropped it silently."""
ANSWER_SECONDS: Final = 2.0
STALE: Final = frozenset(
    {
        "57P01",  # ended by an administrator or a restart: its transaction is rolled back
        "57P05",  # idle_session_timeout, which ends only idle sessions
        "25006",  # now a standby: it was the primary when this connection was made
        "26000",  # another session than the one that prepared the statement
        "0A000",  # a prepared statement's result type changed with a migration
    }
)
"""SQLSTATEs of statements that had no effect and may succeed on a new connection."""


def quiet(pgconn: abc.PGconn) -> bool:
    """Return True if it is open and received nothing while idle, as it would before it is closed. No round trip."""
    if pgconn.status != ConnStatus.OK:
        return False
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    return not poll.poll(0)


def answers(pgconn: abc.PGconn, seconds: float = ANSWER_SECONDS) -> bool:
    """Return True if the server replies within `seconds`; one round trip."""
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
    """Return True if a call that failed on a reused connection may be retried on a new one.

    Args:
        error: of the call.
        pgconn: the reused connection.
        reads: the call changes nothing: a lost reply does no harm.
    """
    return error.sqlstate in STALE or (reads and pgconn.status != ConnStatus.OK)
