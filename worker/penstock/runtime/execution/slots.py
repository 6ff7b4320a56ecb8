"""The attempts that run now: one asyncio task each, at most `concurrency`, and how they are cancelled.

Must not decide which job runs or what becomes of an attempt. An attempt is known by the identity of its job object, not
by the job's id: a fenced attempt in a thread may still run when the same job is claimed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from penstock.job import ClaimedJob

from .lost_attempts import without_outcome
from .outcomes import is_a

CANCEL_SECONDS = 1.0
"""`cancel_all` waits for cancelled attempts at most this long."""


class Slots:
    """The slots of one worker.

    Args:
        concurrency: attempts that run at once.
        interrupt: asks a running attempt to stop; True if its asyncio task may be cancelled as well.
    """

    __slots__ = ("_cancelled", "_interrupt", "_lost", "concurrency", "running")

    def __init__(self, *, concurrency: int, interrupt: Callable[[ClaimedJob], bool]) -> None:
        self.concurrency, self._interrupt = concurrency, interrupt
        self.running: dict[int, tuple[ClaimedJob, asyncio.Task[None]]] = {}
        """Job and task of each attempt, by `id(job)`; written here alone."""
        self._cancelled: set[int] = set()
        self._lost: set[int] = set()

    @property
    def full(self) -> bool:
        """True if no slot is free."""
        return len(self.running) >= self.concurrency

    def add(self, job: ClaimedJob, task: asyncio.Task[None]) -> None:
        """An attempt starts."""
        self.running[id(job)] = (job, task)

    def free(self, job: ClaimedJob) -> None:
        """An attempt finished, however it did. Idempotent."""
        marker = id(job)
        self.running.pop(marker, None)
        if self._cancelled or self._lost:
            self._cancelled.discard(marker)
            self._lost.discard(marker)

    def job_of(self, task: object) -> ClaimedJob | None:
        """The job whose attempt an asyncio task runs; from any thread while the event loop is blocked."""
        return next((job for job, one in reversed(list(self.running.values())) if one is task), None)

    def cancelled_by_request(self, job: ClaimedJob) -> bool:
        """Return True if a cancellation of the job was requested and reached its attempt."""
        return id(job) in self._cancelled

    def claim_lost(self, job: ClaimedJob) -> bool:
        """Return True if the attempt was stopped because its claim is, or soon will be, another worker's."""
        return id(job) in self._lost

    def stopped_by_worker(self, job: ClaimedJob, error: BaseException, *, stopped: bool) -> bool:
        """Return True if the worker itself cancelled the attempt; otherwise its error is the task's.

        Args:
            job: of the attempt.
            error: what left the attempt.
            stopped: all attempts are being cancelled.
        """
        return is_a(error, asyncio.CancelledError) and (
            stopped or self.cancelled_by_request(job) or self.claim_lost(job)
        )

    def without_outcome(self) -> list[tuple[ClaimedJob, BaseException]]:
        """Attempts whose task is gone and that left no outcome, each with an error that says so."""
        return without_outcome(self.running)

    def cancel(self, ids: Collection[int]) -> None:
        """Cancel the attempts of these jobs by request; repeating it does nothing.

        An attempt on the event loop is interrupted. A function in a thread sees `ctx.cancelled`; its job becomes
        cancelled when it returns.
        """
        for job, task in list(self.running.values()):
            if job.id in ids and id(job) not in self._cancelled and self._interrupt(job):
                self._cancelled.add(id(job))
                _cancel_later(task)

    def lose(self, chosen: Callable[[ClaimedJob], bool]) -> None:
        """Cancel the chosen attempts: their claims are lost, and another worker may run the jobs now."""
        for job, task in list(self.running.values()):
            if id(job) not in self._lost and chosen(job):
                self._lost.add(id(job))
                _cancel_later(task)

    async def idle(self) -> None:
        """Wait until no attempt runs."""
        while self.running:
            await asyncio.wait([task for _, task in self.running.values()], return_when=asyncio.FIRST_COMPLETED)

    async def cancel_all(self) -> list[ClaimedJob]:
        """Cancel every attempt and wait a second for them; returns the jobs without an outcome.

        A thread cannot be interrupted: its job is among them.
        """
        attempts = list(self.running.values())
        await asyncio.sleep(0)  # every task has taken its first step then; see _cancel_later
        for _, task in attempts:
            task.cancel()
        if attempts:
            await asyncio.wait([task for _, task in attempts], timeout=CANCEL_SECONDS)
        return [job for job, task in attempts if id(job) in self.running or task.cancelled()]


def _cancel_later(task: asyncio.Task[None]) -> None:
    """Cancel after its first step: a task that is cancelled before it never runs, and would not free its slot."""
    asyncio.get_running_loop().call_soon(task.cancel)
