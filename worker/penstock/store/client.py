"""Enqueue and look up: what an application's process needs of the store.

`SyncClient` and `AsyncClient` own a small pool that opens at first use; `enqueue_on` and `enqueue_on_async` write
through the caller's connection, inside the caller's transaction, whichever of psycopg, SQLAlchemy or Django it is.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import psycopg_pool

from penstock.errors import RejectedByDatabase, StatementRefused
from penstock.job import JobInfo, JobState, NewJob

from ._sql import statement
from .arrays import optional, texts, whole
from .connect import arguments, configure, configure_sync
from .copying import copy_jobs, copy_jobs_async, may_copy, may_copy_async, plain
from .errors import check_url, mapped
from .foreign import scalar_on, scalar_on_async

_NAME = "penstock client"


def _columns(jobs: Sequence[NewJob]) -> tuple[object, ...]:
    return (
        texts([j.queue for j in jobs]),
        texts([j.task for j in jobs]),
        texts([j.args for j in jobs]),
        None if all(j.priority == 1 for j in jobs) else whole([j.priority for j in jobs]),
        optional([j.max_attempts for j in jobs]),
        optional([None if j.delay is None else float(j.delay) for j in jobs]),
        optional([j.at for j in jobs]),
        texts([j.headers for j in jobs]) if any(j.headers is not None for j in jobs) else None,
        *(_unique_columns(jobs) if any(j.unique for j in jobs) else (None, None, None, None)),
    )


def _unique_columns(jobs: Sequence[NewJob]) -> tuple[object, ...]:
    return (
        [j.unique and j.unique.key for j in jobs],
        [j.unique is not None and j.unique.until == "start" for j in jobs],
        optional([None if j.unique is None or j.unique.expires is None else float(j.unique.expires) for j in jobs]),
        [j.unique is not None and j.unique.on_conflict == "raise" for j in jobs],
    )


def _info(row: tuple[Any, ...] | None) -> JobInfo | None:
    if row is None:
        return None
    values = dict(zip(JobInfo.__struct_fields__, row, strict=True))
    return JobInfo(**{**values, "state": JobState(values["state"])})


class SyncClient:
    """Enqueues and looks up over a pool of up to four connections, opened at first use, one pool per process.

    Args:
        url: a libpq URL; never printed.
        pooled: the URL leads to a pooler in transaction mode.
    """

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        check_url(url)
        self._url, self._pooled = url, pooled
        self._lock = threading.Lock()
        self._pool: psycopg_pool.ConnectionPool | None = None
        self._pid = 0
        self._copies: bool | None = None

    def _connections(self) -> psycopg_pool.ConnectionPool:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():  # a forked child must not share a socket
                pool = psycopg_pool.ConnectionPool(
                    self._url, kwargs=arguments(_NAME, pooled=self._pooled), configure=configure_sync, min_size=1,
                    max_size=4, timeout=10, num_workers=1, name=_NAME, open=False,
                )  # fmt: skip
                try:
                    pool.open(wait=True, timeout=10)
                except psycopg_pool.PoolTimeout:
                    pool.close()
                    raise
                self._pool, self._pid = pool, os.getpid()
            return self._pool

    @contextmanager
    def _lent(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        with mapped(doing):
            if self._pool is None:
                self._probe()
            with self._connections().connection() as connection:
                yield connection

    def _row(self, name: str, doing: str, values: Sequence[object]) -> tuple[Any, ...] | None:
        with self._lent(doing) as connection:
            row: tuple[Any, ...] | None = connection.execute(statement(name), values).fetchone()
            return row

    def _copied(self, jobs: Sequence[NewJob]) -> list[int] | None:
        """Ids if COPY took the jobs; None where the function is to say what it thinks of them."""
        try:
            with self._lent("enqueue") as connection:
                if self._copies is None:
                    self._copies = may_copy(connection)
                return copy_jobs(connection, jobs) if self._copies else None
        except (RejectedByDatabase, StatementRefused):
            return None

    def _probe(self) -> None:
        """One plain connection first: its error says why, where a pool only says that time ran out."""
        psycopg.connect(self._url, **arguments(_NAME, pooled=self._pooled)).close()

    def enqueue(self, jobs: Sequence[NewJob]) -> list[int]:
        """Put jobs into their queues in one transaction; ids in order.

        Raises:
            DatabaseUnavailable, SchemaMissing, ReadOnlyServer, RejectedByDatabase: nothing was written.
        """
        if not jobs:
            return []
        if plain(jobs) and (ids := self._copied(jobs)) is not None:
            return ids
        row = self._row("enqueue_many", "enqueue", _columns(jobs))
        return list(row[0]) if row else []

    def info(self, job_id: int) -> JobInfo | None:
        """The job of that id, ended or not; None if there is none."""
        return _info(self._row("info", "look up a job", (job_id,)))

    def cancel_jobs(self, ids: Sequence[int], reason: str | None = None) -> dict[int, str]:
        """Cancel: by id `cancelled` (it waited) or `cancelling` (it runs); those that are over are left out."""
        row = self._row("cancel_jobs", "cancel", (list(ids), reason))
        return dict(zip(row[0] or (), row[1] or (), strict=True)) if row else {}

    def close(self) -> None:
        """Close the pool; a later call opens another."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.close()


class AsyncClient:
    """As `SyncClient`, for asyncio; the pool belongs to the event loop that used it first."""

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        check_url(url)
        self._url, self._pooled = url, pooled
        self._opening = asyncio.Lock()
        self._pool: psycopg_pool.AsyncConnectionPool | None = None
        self._pid = 0
        self._copies: bool | None = None

    async def _connections(self) -> psycopg_pool.AsyncConnectionPool:
        async with self._opening:  # first uses at once must not open a pool each
            if self._pool is None or self._pid != os.getpid():
                await (
                    await psycopg.AsyncConnection.connect(self._url, **arguments(_NAME, pooled=self._pooled))
                ).close()
                pool = psycopg_pool.AsyncConnectionPool(
                    self._url, kwargs=arguments(_NAME, pooled=self._pooled), configure=configure, min_size=1,
                    max_size=4, timeout=10, num_workers=1, name=_NAME, open=False,
                )  # fmt: skip
                await pool.open()
                self._pool, self._pid = pool, os.getpid()
            return self._pool

    async def _row(self, name: str, doing: str, values: Sequence[object]) -> tuple[Any, ...] | None:
        with mapped(doing):
            async with (await self._connections()).connection() as connection:
                cursor = await connection.execute(statement(name), values)
                row: tuple[Any, ...] | None = await cursor.fetchone()
                return row

    async def _copied(self, jobs: Sequence[NewJob]) -> list[int] | None:
        try:
            with mapped("enqueue"):
                async with (await self._connections()).connection() as connection:
                    if self._copies is None:
                        self._copies = await may_copy_async(connection)
                    return await copy_jobs_async(connection, jobs) if self._copies else None
        except (RejectedByDatabase, StatementRefused):
            return None

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[int]:
        """As `SyncClient.enqueue`."""
        if not jobs:
            return []
        if plain(jobs) and (ids := await self._copied(jobs)) is not None:
            return ids
        row = await self._row("enqueue_many", "enqueue", _columns(jobs))
        return list(row[0]) if row else []

    async def info(self, job_id: int) -> JobInfo | None:
        """As `SyncClient.info`."""
        return _info(await self._row("info", "look up a job", (job_id,)))

    async def cancel_jobs(self, ids: Sequence[int], reason: str | None = None) -> dict[int, str]:
        """As `SyncClient.cancel_jobs`."""
        row = await self._row("cancel_jobs", "cancel", (list(ids), reason))
        return dict(zip(row[0] or (), row[1] or (), strict=True)) if row else {}

    async def close(self) -> None:
        """Close the pool; a later call opens another."""
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            await pool.close()


def enqueue_on(connection: Any, jobs: Sequence[NewJob]) -> list[int]:
    """Enqueue through the caller's connection, inside its transaction; commits nothing. Ids in the order of `jobs`.

    Raises as `foreign.scalar_on`, which says what connections there are.
    """
    if not jobs:
        return []
    if isinstance(connection, psycopg.Connection) and _copyable(connection, jobs):
        with suppress(RejectedByDatabase, StatementRefused), mapped("enqueue"):
            if may_copy(connection):  # a statement before the savepoint, so that it is none but a savepoint
                return copy_jobs(connection, jobs)
    return list(scalar_on(connection, statement("enqueue_many"), _columns(jobs), doing="enqueue"))


async def enqueue_on_async(connection: Any, jobs: Sequence[NewJob]) -> list[int]:
    """As `enqueue_on`, for asynchronous connections."""
    if not jobs:
        return []
    if isinstance(connection, psycopg.AsyncConnection) and _copyable(connection, jobs):
        with suppress(RejectedByDatabase, StatementRefused), mapped("enqueue"):
            if await may_copy_async(connection):
                return await copy_jobs_async(connection, jobs)
    return list(await scalar_on_async(connection, statement("enqueue_many"), _columns(jobs), doing="enqueue"))


def _copyable(connection: psycopg.BaseConnection[Any], jobs: Sequence[NewJob]) -> bool:
    """Not inside a pipeline: no COPY is possible there."""
    return connection.pgconn.pipeline_status == psycopg.pq.PipelineStatus.OFF and plain(jobs)
