"""`Client`: how an `App` reaches its jobs. `StoreClient` is the client of a database.

Owns when connections are opened: at the first use, once per process, because a forked child cannot use its parent's
sockets. Must not contain SQL; `penstock.store` does, and it is imported at the first use, because declaring tasks must
not load a database driver.

A child process neither uses nor closes the connections of its parent: it keeps a reference to them, because closing
them would end the parent's sessions.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

from ..database.pool_settings import PoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..database.source import Url
    from ..job import JobInfo, NewJob
    from ..store import AsyncClient, SyncClient


class Client(Protocol):
    """The calls that tasks and handles make: to a database, or in tests to a collector in memory."""

    def enqueue(self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        """Enqueue all jobs or none; their ids in order. With a connection: inside its transaction."""

    async def enqueue_async(
        self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """The same for async callers and async connections."""

    def info(self, job_id: int) -> JobInfo | None:
        """A job, live or finished; None if there is no such job."""

    async def info_async(self, job_id: int) -> JobInfo | None:
        """The same for async callers."""

    def cancel(self, job_id: int, reason: str | None) -> str | None:
        """Cancel a job: "cancelled", "cancelling" if it is running, None if it has finished or does not exist."""

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        """The same for async callers."""

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""

    async def close_async(self) -> None:
        """`close`, for async callers."""


class _OpenedConnection:
    """The connections of one process. `lock` guards only their creation."""

    __slots__ = ("asynchronous", "lock", "sync")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: SyncClient | None = None
        self.asynchronous: AsyncClient | None = None


class StoreClient:
    """The client of one database.

    Args:
        database: returns the URL and whether it leads to a pooler; called at the first use; raises ConfigurationError
            without a URL.
        pool: bounds of the pool of this process, and of the pool of each event loop.
    """

    def __init__(self, *, database: Callable[[], tuple[Url, bool]], pool: PoolSettings | None = None) -> None:
        self._database = database
        self._pool = pool or PoolSettings()
        self._by_process: dict[int, _OpenedConnection] = {}

    def _opened(self) -> _OpenedConnection:
        return self._by_process.setdefault(os.getpid(), _OpenedConnection())

    def _sync(self) -> SyncClient:
        opened = self._opened()
        if opened.sync is None:
            from ..store import SyncClient  # noqa: PLC0415 - the driver is loaded at the first use

            with opened.lock:
                if opened.sync is None:
                    url, pooled = self._database()
                    opened.sync = SyncClient(url, pooled=pooled, pool=self._pool)
        return opened.sync

    def _async(self) -> AsyncClient:
        opened = self._opened()
        if opened.asynchronous is None:
            from ..store import AsyncClient  # noqa: PLC0415 - as above

            with opened.lock:
                if opened.asynchronous is None:
                    url, pooled = self._database()
                    opened.asynchronous = AsyncClient(url, pooled=pooled, pool=self._pool)
        return opened.asynchronous

    def enqueue(self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        """Enqueue through the pool, or on the caller's connection. Raises StoreError."""
        if connection is None:
            return self._sync().enqueue(jobs, wake=wake)
        from ..store import enqueue_on  # noqa: PLC0415

        return enqueue_on(connection, jobs, wake=wake)

    async def enqueue_async(
        self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """`enqueue`, for async callers."""
        if connection is None:
            return await self._async().enqueue(jobs, wake=wake)
        from ..store import enqueue_on_async  # noqa: PLC0415

        return await enqueue_on_async(connection, jobs, wake=wake)

    def info(self, job_id: int, *, connection: object | None = None) -> JobInfo | None:
        """The job's row of the view `penstock.jobs`, through the pool or on a connection. Raises StoreError."""
        if connection is None:
            return self._sync().info(job_id)
        from ..store import info_on  # noqa: PLC0415

        return info_on(connection, job_id)

    async def info_async(self, job_id: int, *, connection: object | None = None) -> JobInfo | None:
        """`info`, for async callers."""
        if connection is None:
            return await self._async().info(job_id)
        from ..store import info_on_async  # noqa: PLC0415

        return await info_on_async(connection, job_id)

    def cancel(self, job_id: int, reason: str | None, *, connection: object | None = None) -> str | None:
        """Cancel the job in the database, through the pool or on a connection. Raises StoreError."""
        if connection is None:
            return self._sync().cancel_jobs([job_id], reason).get(job_id)
        from ..store import cancel_on  # noqa: PLC0415

        return cancel_on(connection, job_id, reason)

    async def cancel_async(self, job_id: int, reason: str | None, *, connection: object | None = None) -> str | None:
        """`cancel`, for async callers."""
        if connection is None:
            return (await self._async().cancel_jobs([job_id], reason)).get(job_id)
        from ..store import cancel_on_async  # noqa: PLC0415

        return await cancel_on_async(connection, job_id, reason)

    def close(self) -> None:
        """Close the connections of this process in all threads and event loops; those in use after their call."""
        opened = self._opened()
        with opened.lock:
            sync, opened.sync = opened.sync, None
            asynchronous, opened.asynchronous = opened.asynchronous, None
        if sync is not None:
            sync.close()
        if asynchronous is not None:
            asynchronous.finish()

    async def close_async(self) -> None:
        """`close`, for async callers; does not wait."""
        self.close()
