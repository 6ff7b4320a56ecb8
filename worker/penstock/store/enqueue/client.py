"""Enqueue, look up and cancel: the statements of an application's process.

`SyncClient` and `AsyncClient` own small pools that open at first use; `enqueue_on` and `enqueue_on_async` write
through the caller's connection, inside its transaction. `connection_kind` lists the kinds of connections.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, TypeVar

import psycopg

from penstock.database.pool_settings import PoolSettings
from penstock.database.source import Url
from penstock.errors import RejectedByDatabase, StatementRefused
from penstock.job import JobInfo, JobState, NewJob

from ..arrays import column, sparse, texts
from ..connect import connect, connect_async
from ..errors import check_url, mapped
from ..pools.async_pool import LoopPool
from ..pools.loop_pools import LoopPools
from ..pools.sync_pool import Pool
from ..sql_files import statement
from .caller_connection import fetch_value, fetch_value_async
from .copy_enqueue import copy_jobs, copy_jobs_async, copyable, may_copy, may_copy_async, takes_copy

T = TypeVar("T")
_NAME = "penstock client"
_UNIQUE = attrgetter("unique")


def _columns(jobs: Sequence[NewJob]) -> tuple[str | None, ...]:
    return (
        texts([j.queue for j in jobs]),
        texts([j.task for j in jobs]),
        texts([j.args for j in jobs]),
        _priorities([j.priority for j in jobs]),
        sparse([j.max_attempts for j in jobs]),
        sparse([None if j.delay is None else float(j.delay) for j in jobs]),
        sparse([j.at for j in jobs]),
        sparse([j.headers for j in jobs]),
        *(_unique_columns(jobs) if any(map(_UNIQUE, jobs)) else (None, None, None, None)),
    )


def _priorities(values: Sequence[int]) -> str | None:
    return None if values.count(1) == len(values) else column(values)


def _unique_columns(jobs: Sequence[NewJob]) -> tuple[str | None, ...]:
    return (
        texts([None if j.unique is None else j.unique.key for j in jobs]),
        column(j.unique is not None and j.unique.until == "start" for j in jobs),
        sparse([None if j.unique is None or j.unique.expires is None else float(j.unique.expires) for j in jobs]),
        column(j.unique is not None and j.unique.on_conflict == "raise" for j in jobs),
    )


def _info(row: tuple[Any, ...] | None) -> JobInfo | None:
    if row is None:
        return None
    values = dict(zip(JobInfo.__struct_fields__, row, strict=True))
    return JobInfo(**{**values, "state": JobState(values["state"])})


class SyncClient:
    """Enqueues and looks up over a pool that opens connections when they are needed, one pool per process.

    Args:
        url: a libpq URL; never printed.
        pooled: the URL leads to a pooler in transaction mode.
        pool: size and timeouts.
    """

    def __init__(self, url: Url, *, pooled: bool = False, pool: PoolSettings | None = None) -> None:
        check_url(url)
        self._url, self._pooled, self._settings = url, pooled, pool or PoolSettings()
        self._pool, self._pid = self._made(), os.getpid()
        self._copies: bool | None = None
        self._inherited: list[Pool] = []

    def _made(self) -> Pool:
        return Pool(functools.partial(connect, self._url, name=_NAME, pooled=self._pooled), self._settings)

    def _run(self, doing: str, use: Callable[[psycopg.Connection[Any]], T], *, reads: bool = False) -> T:
        if self._pid != os.getpid():  # a forked child must not share a socket; the parent's pool stays unchanged
            self._inherited.append(self._pool)
            self._pool, self._pid = self._made(), os.getpid()
        with mapped(doing):
            return self._pool.run(use, reads=reads)

    def _row(self, name: str, doing: str, values: Sequence[object], *, reads: bool = False) -> tuple[Any, ...] | None:
        def use(connection: psycopg.Connection[Any]) -> tuple[Any, ...] | None:
            row: tuple[Any, ...] | None = connection.execute(statement(name), values).fetchone()
            return row

        return self._run(doing, use, reads=reads)

    def _copied(self, jobs: Sequence[NewJob]) -> list[int] | None:
        """Ids if the jobs were copied; None if the function must enqueue them, or refuse them with its own message."""

        def use(connection: psycopg.Connection[Any]) -> list[int] | None:
            if self._copies is None:
                self._copies = may_copy(connection)
            return copy_jobs(connection, jobs) if self._copies else None

        with suppress(RejectedByDatabase, StatementRefused):
            return self._run("enqueue", use)
        return None

    def enqueue(self, jobs: Sequence[NewJob], *, wake: bool = True) -> list[int]:
        """Enqueue jobs in one transaction; returns ids in order.

        Args:
            jobs: any number.
            wake: wake idle workers; otherwise their next poll finds the jobs.

        Raises:
            DatabaseUnavailable, SchemaMissing, ReadOnlyServer, RejectedByDatabase: nothing was written.
        """
        if not jobs:
            return []
        if wake and copyable(jobs) and (ids := self._copied(jobs)) is not None:
            return ids
        row = self._row("enqueue_many" if wake else "enqueue_quietly", "enqueue", _columns(jobs))
        return list(row[0]) if row else []

    def info(self, job_id: int) -> JobInfo | None:
        """The job with this id, live or ended; None if there is none."""
        return _info(self._row("info", "look up a job", (job_id,), reads=True))

    def cancel_jobs(self, ids: Sequence[int], reason: str | None = None) -> dict[int, str]:
        """Cancel jobs: by id `cancelled` (it waited) or `cancelling` (it runs); ended jobs are left out."""
        row = self._row("cancel_jobs", "cancel", (list(ids), reason))
        return dict(zip(row[0] or (), row[1] or (), strict=True)) if row else {}

    def close(self) -> None:
        """Close the connections; a later call opens others."""
        if self._pid == os.getpid():
            self._pool.close()


class AsyncClient:
    """As `SyncClient`, for asyncio: each event loop that uses it has a pool of its own, which ends with the loop."""

    def __init__(self, url: Url, *, pooled: bool = False, pool: PoolSettings | None = None) -> None:
        check_url(url)
        opens = functools.partial(connect_async, url, name=_NAME, pooled=pooled)
        self._pools = LoopPools(functools.partial(LoopPool, opens, pool or PoolSettings()))
        self._copies: bool | None = None

    async def _row(
        self, name: str, doing: str, values: Sequence[object], *, reads: bool = False
    ) -> tuple[Any, ...] | None:
        async def use(connection: psycopg.AsyncConnection[Any]) -> tuple[Any, ...] | None:
            cursor = await connection.execute(statement(name), values)
            row: tuple[Any, ...] | None = await cursor.fetchone()
            return row

        with mapped(doing):
            return await self._pools.here().run(use, reads=reads)

    async def _copied(self, jobs: Sequence[NewJob]) -> list[int] | None:
        async def use(connection: psycopg.AsyncConnection[Any]) -> list[int] | None:
            if self._copies is None:
                self._copies = await may_copy_async(connection)
            return await copy_jobs_async(connection, jobs) if self._copies else None

        with suppress(RejectedByDatabase, StatementRefused), mapped("enqueue"):
            return await self._pools.here().run(use)
        return None

    async def enqueue(self, jobs: Sequence[NewJob], *, wake: bool = True) -> list[int]:
        """As `SyncClient.enqueue`."""
        if not jobs:
            return []
        if wake and copyable(jobs) and (ids := await self._copied(jobs)) is not None:
            return ids
        row = await self._row("enqueue_many" if wake else "enqueue_quietly", "enqueue", _columns(jobs))
        return list(row[0]) if row else []

    async def info(self, job_id: int) -> JobInfo | None:
        """As `SyncClient.info`."""
        return _info(await self._row("info", "look up a job", (job_id,), reads=True))

    async def cancel_jobs(self, ids: Sequence[int], reason: str | None = None) -> dict[int, str]:
        """As `SyncClient.cancel_jobs`."""
        row = await self._row("cancel_jobs", "cancel", (list(ids), reason))
        return dict(zip(row[0] or (), row[1] or (), strict=True)) if row else {}

    def finish(self) -> None:
        """Close what is open, for every event loop; from any thread. A later call opens other connections."""
        self._pools.finish()

    async def close(self) -> None:
        """`finish`, for async callers."""
        self.finish()


def enqueue_on(connection: Any, jobs: Sequence[NewJob], *, wake: bool = True) -> list[int]:
    """Enqueue through the caller's connection, inside its transaction; commits nothing. Ids in the order of `jobs`.

    Raises as `caller_connection.fetch_value`; `connection_kind` lists the kinds of connections.
    """
    if not jobs:
        return []
    if wake and isinstance(connection, psycopg.Connection) and _copyable(connection, jobs):
        with suppress(RejectedByDatabase, StatementRefused), mapped("enqueue"):
            if may_copy(connection):  # a statement of its own, before the savepoint
                return copy_jobs(connection, jobs)
    return _ids(fetch_value(connection, _enqueue(wake=wake), _columns(jobs), doing="enqueue"))


async def enqueue_on_async(connection: Any, jobs: Sequence[NewJob], *, wake: bool = True) -> list[int]:
    """As `enqueue_on`, for asynchronous connections."""
    if not jobs:
        return []
    if wake and isinstance(connection, psycopg.AsyncConnection) and _copyable(connection, jobs):
        with suppress(RejectedByDatabase, StatementRefused), mapped("enqueue"):
            if await may_copy_async(connection):
                return await copy_jobs_async(connection, jobs)
    return _ids(await fetch_value_async(connection, _enqueue(wake=wake), _columns(jobs), doing="enqueue"))


def _enqueue(*, wake: bool) -> bytes:
    return statement("enqueue_many") if wake else statement("enqueue_quietly")


def _ids(array: str | None) -> list[int]:
    """Ids of an array's text form."""
    return [int(one) for one in (array or "{}")[1:-1].split(",") if one]


def _copyable(connection: psycopg.BaseConnection[Any], jobs: Sequence[NewJob]) -> bool:
    """Not inside a pipeline: no COPY is possible there; and not where the application has types of its own."""
    off = connection.pgconn.pipeline_status == psycopg.pq.PipelineStatus.OFF
    return off and copyable(jobs) and takes_copy(connection)
