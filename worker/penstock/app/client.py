"""Enqueueing and looking up, on behalf of an `App`: the way to the store, and the handle of a job.

Owns when the store is opened (at the first use) and by whom: once per process, since a forked child cannot use its
parent's sockets. Must not know SQL; `penstock.store` does, and is imported at the first use, so that declaring tasks
costs no database driver.

Surprising: what a parent opened is neither used nor closed by its child. It stays referenced there, because closing it
would end the parent's sessions.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

from ..database.pool_settings import PoolSettings
from ..errors import JobCancelled, JobFailed, JobNotFound, ResultTimeout, TaskError
from ..job import ENDED, JobInfo, JobState, NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..database.source import Url
    from ..store import AsyncClient, SyncClient

R = TypeVar("R")

FIRST_LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 1.0
"""A wait for a result looks after 20 ms, then at doubling intervals up to 1 s: a result has no wake-up of its own."""


class Client(Protocol):
    """What tasks and handles need: the store, or the memory of a test."""

    def enqueue(self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        """Ids in the order of `jobs`; all or none. With a connection: inside its transaction."""

    async def enqueue_async(
        self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """The same for async callers and async connections."""

    def info(self, job_id: int) -> JobInfo | None:
        """What is known of a job, ended ones too; None when nothing is."""

    async def info_async(self, job_id: int) -> JobInfo | None:
        """The same for async callers."""

    def cancel(self, job_id: int, reason: str | None) -> str | None:
        """Cancel a job: "cancelled", "cancelling" while it runs, None when it is over or unknown."""

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        """The same for async callers."""

    def close(self) -> None:
        """Close what this process opened; the next use opens it again."""

    async def close_async(self) -> None:
        """`close`, for async callers."""


class _Opened:
    """What one process has opened. `lock` guards creation only."""

    __slots__ = ("asynchronous", "lock", "sync")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: SyncClient | None = None
        self.asynchronous: AsyncClient | None = None


class StoreClient:
    """The store of one database.

    Args:
        database: gives the URL and whether it leads to a pooler; called at the first use, raises ConfigurationError
            when there is no URL.
        pool: bounds of the pool of this process, and of each event loop's.
    """

    def __init__(self, *, database: Callable[[], tuple[Url, bool]], pool: PoolSettings | None = None) -> None:
        self._database = database
        self._pool = pool or PoolSettings()
        self._by_process: dict[int, _Opened] = {}

    def _opened(self) -> _Opened:
        return self._by_process.setdefault(os.getpid(), _Opened())

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
        """Through the pool, or on the caller's connection. Raises StoreError."""
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

    def info(self, job_id: int) -> JobInfo | None:
        """The job's row of the view. Raises StoreError."""
        return self._sync().info(job_id)

    async def info_async(self, job_id: int) -> JobInfo | None:
        """`info`, for async callers."""
        return await self._async().info(job_id)

    def cancel(self, job_id: int, reason: str | None) -> str | None:
        """Cancel it in the store. Raises StoreError."""
        return self._sync().cancel_jobs([job_id], reason).get(job_id)

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        """`cancel`, for async callers."""
        return (await self._async().cancel_jobs([job_id], reason)).get(job_id)

    def close(self) -> None:
        """Close what this process opened, for every thread and event loop; what is in use when its call is over."""
        opened = self._opened()
        with opened.lock:
            sync, opened.sync = opened.sync, None
            asynchronous, opened.asynchronous = opened.asynchronous, None
        if sync is not None:
            sync.close()
        if asynchronous is not None:
            asynchronous.finish()

    async def close_async(self) -> None:
        """`close`, for async callers; waits for nothing."""
        self.close()


class JobHandle(Generic[R]):
    """A job by its id. Makes no query until asked.

    Attributes:
        id: the job's id in its database.
    """

    __slots__ = ("_client", "_read", "id")

    def __init__(self, job_id: int, *, client: Client, read: Callable[[Any], R]) -> None:
        self.id = job_id
        self._client = client
        self._read = read

    def __repr__(self) -> str:
        return f"JobHandle({self.id})"

    def info(self) -> JobInfo:
        """All that is known of the job.

        Raises:
            JobNotFound: no such job; its transaction has not committed, or its outcome is past retention.
            StoreError: the database cannot be used.
        """
        return self._found(self._client.info(self.id))

    async def info_async(self) -> JobInfo:
        """`info`, for async callers."""
        return self._found(await self._client.info_async(self.id))

    def status(self) -> JobState:
        """Where the job is now. Raises as `info` does."""
        return self.info().state

    async def status_async(self) -> JobState:
        """`status`, for async callers."""
        return (await self.info_async()).state

    def cancel(self, reason: str | None = None) -> bool:
        """Cancel the job, for `reason`. One that waits ends now; one that runs is told and ends with its attempt.

        Returns False when it is over already, or unknown. Raises StoreError.
        """
        return self._client.cancel(self.id, reason) is not None

    async def cancel_async(self, reason: str | None = None) -> bool:
        """`cancel`, for async callers."""
        return await self._client.cancel_async(self.id, reason) is not None

    def result(self, timeout: float | None = None) -> R:
        """Wait for the job's end and give what its task returned.

        Args:
            timeout: seconds to wait; None waits for ever, 0 looks once.

        Raises:
            ResultTimeout: the job has not ended in time.
            JobFailed: it is a dead letter.
            JobCancelled: it was cancelled.
            JobNotFound, StoreError: as `info`.
            TaskError: the stored result does not fit the task's return type any more.
        """
        for pause in _pauses(timeout):
            info = self.info()
            if info.state in ENDED:
                return self._ended(info)
            time.sleep(pause)
        raise ResultTimeout(f"job {self.id}: not ended within {timeout} seconds")

    async def result_async(self, timeout: float | None = None) -> R:
        """`result`, for async callers."""
        import asyncio  # noqa: PLC0415 - a sync application never needs it

        for pause in _pauses(timeout):
            info = await self.info_async()
            if info.state in ENDED:
                return self._ended(info)
            await asyncio.sleep(pause)
        raise ResultTimeout(f"job {self.id}: not ended within {timeout} seconds")

    def _found(self, info: JobInfo | None) -> JobInfo:
        if info is None:
            raise JobNotFound(f"job {self.id}: no such job in this database, live or ended")
        return info

    def _ended(self, info: JobInfo) -> R:
        match info.state:
            case JobState.DEAD:
                why = f" ({info.reason})" if info.reason else ""
                why += _last(info.errors)
                raise JobFailed(f"job {self.id}, task {info.task!r}: a dead letter at attempt {info.attempt}{why}")
            case JobState.CANCELLED:
                raise JobCancelled(f"job {self.id}, task {info.task!r}: cancelled at attempt {info.attempt}")
        try:
            return self._read(info.result)
        except msgspec.ValidationError as error:
            raise TaskError(f"job {self.id}, task {info.task!r}: the stored result does not fit: {error}") from error


def _last(errors: Any) -> str:
    """The last error of an attempt history, as a message ends with it."""
    match errors:
        case [*_, {"type": kind, "message": message}]:
            return f": {kind}: {message}"
    return ""


def _pauses(timeout: float | None) -> Iterator[float]:
    """Seconds to sleep after each look; ends when the time is over, after a last look at its end."""
    ends = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_LOOK_SECONDS
    while True:
        left = pause if ends is None else ends - time.monotonic()
        yield max(0.0, min(pause, left))
        if left <= 0:
            return
        pause = min(pause * 2, LONGEST_LOOK_SECONDS)
