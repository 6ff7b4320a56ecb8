"""`JobHandle`: one job by its id, with its state, its result and its cancellation.

Owns the intervals at which a result is polled, and the errors of a job without a result. Makes no query until a method
is called.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from ..errors import JobCancelled, JobFailed, JobNotFound, ResultTimeout, TaskError
from ..job import ENDED, JobInfo, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .client import Client

R = TypeVar("R")

FIRST_POLL_SECONDS: Final = 0.02
MAX_POLL_SECONDS: Final = 1.0
"""A result is polled after 20 ms, then at doubling intervals of up to 1 s; there is no wake-up for results."""


class JobHandle(Generic[R]):
    """One job. Constructing a handle makes no query.

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
        """The job with its state, times, errors and result.

        Raises:
            JobNotFound: there is no such job: its transaction has not committed, or its retention has passed.
            StoreError: the database cannot be used.
        """
        return self._found(self._client.info(self.id))

    async def info_async(self) -> JobInfo:
        """`info`, for async callers."""
        return self._found(await self._client.info_async(self.id))

    def status(self) -> JobState:
        """The state of the job. Raises as `info`."""
        return self.info().state

    async def status_async(self) -> JobState:
        """`status`, for async callers."""
        return (await self.info_async()).state

    def cancel(self, reason: str | None = None) -> bool:
        """Cancel the job. A waiting job is cancelled at once; a running one is asked to stop and ends with its attempt.

        Args:
            reason: recorded with the job.

        Returns False if the job has finished or does not exist. Raises StoreError.
        """
        return self._client.cancel(self.id, reason) is not None

    async def cancel_async(self, reason: str | None = None) -> bool:
        """`cancel`, for async callers."""
        return await self._client.cancel_async(self.id, reason) is not None

    def result(self, timeout: float | None = None) -> R:
        """Wait until the job has finished, and return the result of its task.

        Args:
            timeout: seconds to wait; None waits without limit, 0 polls once.

        Raises:
            ResultTimeout: the job has not finished in time.
            JobFailed: the job is a dead letter.
            JobCancelled: the job was cancelled.
            JobNotFound, StoreError: as `info`.
            TaskError: the stored result does not match the task's return type.
        """
        for pause in _pauses(timeout):
            info = self.info()
            if info.state in ENDED:
                return self._outcome(info)
            time.sleep(pause)
        raise ResultTimeout(f"job {self.id}: not finished within {timeout} s")

    async def result_async(self, timeout: float | None = None) -> R:
        """`result`, for async callers."""
        import asyncio  # noqa: PLC0415 - a sync application never needs it

        for pause in _pauses(timeout):
            info = await self.info_async()
            if info.state in ENDED:
                return self._outcome(info)
            await asyncio.sleep(pause)
        raise ResultTimeout(f"job {self.id}: not finished within {timeout} s")

    def _found(self, info: JobInfo | None) -> JobInfo:
        if info is None:
            raise JobNotFound(f"job {self.id}: there is no such job in this database")
        return info

    def _outcome(self, info: JobInfo) -> R:
        match info.state:
            case JobState.DEAD:
                reason = f" ({info.reason})" if info.reason else ""
                reason += _last(info.errors)
                raise JobFailed(f"job {self.id}, task {info.task!r}: dead letter after attempt {info.attempt}{reason}")
            case JobState.CANCELLED:
                raise JobCancelled(f"job {self.id}, task {info.task!r}: cancelled in attempt {info.attempt}")
        try:
            return self._read(info.result)
        except msgspec.ValidationError as error:
            raise TaskError(f"job {self.id}, task {info.task!r}: the stored result does not fit: {error}") from error


def _last(errors: Any) -> str:
    """The last error in a history of errors, to append to a message."""
    match errors:
        case [*_, {"type": kind, "message": message}]:
            return f": {kind}: {message}"
    return ""


def _pauses(timeout: float | None) -> Iterator[float]:
    """Seconds to sleep after each poll; stops after a last poll at the deadline."""
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_POLL_SECONDS
    while True:
        left = pause if deadline is None else deadline - time.monotonic()
        yield max(0.0, min(pause, left))
        if left <= 0:
            return
        pause = min(pause * 2, MAX_POLL_SECONDS)
