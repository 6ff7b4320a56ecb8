"""Exactly-once effect: a job's success is committed by the transaction that wrote its effects, or neither is.

`JobTransaction` opens a connection for one transaction of a task and ends it with the acknowledgement; `complete_on`
does the same on a connection that the task already has. The worker's own acknowledgement then finds the outcome. The
task's return value is not stored, because the outcome is written before the task returns.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import psycopg

from penstock.database.source import Url
from penstock.errors import Fenced
from penstock.job import ClaimedJob

from .connect import connect, connect_async
from .enqueue.caller_connection import fetch_value, fetch_value_async
from .errors import mapped
from .sql_files import statement

_NAME = "penstock task"


def _values(job: ClaimedJob, started: float) -> tuple[str, ...]:
    return (str(job.worker), str(job.id), str(job.token), repr(time.perf_counter() - started))


def _accepted(job: ClaimedJob, accepted: str | None) -> None:
    if accepted != "true":
        raise Fenced(
            f"job {job.id}, attempt {job.attempt}: its claim was lost or the job was cancelled; nothing was committed"
        )


class JobTransaction:
    """`async with` or `with`: a connection in a transaction that commits with the job's success.

    Args:
        url: the database; never printed.
        job: the attempt.
        started: `time.perf_counter()` at its start.
        pooled: the URL leads to a pooler in transaction mode.

    Raises:
        Fenced: when the block exits, if the claim was lost meanwhile; everything is rolled back.
        DatabaseUnavailable: no connection, or it was lost; the worker finds out whether the commit happened.
    """

    def __init__(self, url: Url, job: ClaimedJob, *, started: float, pooled: bool = False) -> None:
        self._url, self._job, self._started, self._pooled = url, job, started, pooled
        self._async: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._sync: psycopg.Connection[tuple[Any, ...]] | None = None

    async def __aenter__(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        self._async = await connect_async(self._url, name=_NAME, pooled=self._pooled, settings=False)
        await self._async.set_autocommit(False)
        return self._async

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._async
        assert connection is not None
        try:
            if kind is None:
                await complete_on_async(connection, self._job, self._started)
                with mapped("commit"):
                    await connection.commit()
        finally:
            await connection.close()  # without a commit: rolled back

    def __enter__(self) -> psycopg.Connection[tuple[Any, ...]]:
        self._sync = connect(self._url, name=_NAME, pooled=self._pooled, settings=False)
        self._sync.autocommit = False
        return self._sync

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._sync
        assert connection is not None
        try:
            if kind is None:
                complete_on(connection, self._job, self._started)
                with mapped("commit"):
                    connection.commit()
        finally:
            connection.close()


def complete_on(connection: Any, job: ClaimedJob, started: float) -> None:
    """Write the job's success through the caller's connection, as the last statement before its commit.

    Raises:
        Fenced: the claim was lost, or the job is to be cancelled: roll back.
        ConfigurationError, StoreError: as `caller_connection.fetch_value`.
    """
    _accepted(job, fetch_value(connection, statement("complete"), _values(job, started), doing="complete"))


async def complete_on_async(connection: Any, job: ClaimedJob, started: float) -> None:
    """As `complete_on`, for asynchronous connections."""
    _accepted(job, await fetch_value_async(connection, statement("complete"), _values(job, started), doing="complete"))
