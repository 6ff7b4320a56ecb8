"""What a task may know and do about its own attempt.

A task whose first parameter is annotated `Context` is given one; it is not an argument of the job. Owns no state but
whether cancellation was asked for: written by the worker's loop, read by the task, from any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .job import ClaimedJob, NewJob


class Context:
    """One attempt, seen from inside.

    Attributes:
        job: the job as it was claimed.
    """

    __slots__ = ("_cancelled", "_client", "job")

    def __init__(self, *, job: ClaimedJob, client: Client) -> None:
        self.job = job
        self._client = client
        self._cancelled = False

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.job.attempt

    @property
    def cancelled(self) -> bool:
        """Whether this attempt should end early: look between steps of long work."""
        return self._cancelled

    def mark_cancelled(self) -> None:
        """For the worker's loop: `cancelled` is true from now on."""
        self._cancelled = True

    def enqueue(self, *jobs: NewJob) -> list[int]:
        """Enqueue in one transaction of its own, for plain functions; ids in order.

        `ctx.enqueue(send_welcome_email.job(7))`. Raises StoreError.
        """
        return self._client.enqueue(jobs)

    async def enqueue_async(self, *jobs: NewJob) -> list[int]:
        """`enqueue`, for async functions."""
        return await self._client.enqueue_async(jobs)
